"""Somebody who knows a URL that fails takes no endpoint out for all the others, nor the repetitions of their requests; when all of
them meet the same, it is evidence."""
import http.client
import threading
import time
import unittest

from harness import SLOW, Story, wait_until

DOUBTS = ("endpoint_suspect", "endpoint_ejected", "tier_degraded", "failover")


class Client(threading.Thread):
    """One address that asks `rate` times a second, for `path` until told otherwise."""

    def __init__(self, port, address, path, rate):
        super().__init__(daemon=True)
        self.port, self.address, self.path, self.rate = port, address, path, rate
        self.ended = threading.Event()
        self.statuses = []
        self.start()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10 * SLOW, source_address=(self.address, 0))
        while not self.ended.wait(1 / self.rate) and len(self.statuses) < 10_000:
            connection.request("GET", self.path)
            answer = connection.getresponse()
            answer.read()
            self.statuses.append(answer.status)
        connection.close()


class HostileClientTest(Story):
    def doubts(self, understudy):
        return [e for e in understudy.events() if e["kind"] in DOUBTS]

    def test_who_alone_meets_failures_takes_nobody_out(self):
        primaries = [self.origin(name) for name in ("p1", "p2")]
        standby = self.origin("s1")
        more = "[pool.app.degraded]\nerror_rate = \"5%\"\n"
        understudy = self.proxy(self.config([p.address for p in primaries], [standby.address], pool=more))
        self.await_healthy(understudy, *[o.address for o in primaries + [standby]])
        clients = [Client(self.port, "127.0.0.%d" % (11 + i), "/hello", 30) for i in range(3)]
        self.addCleanup(lambda: [c.ended.set() for c in clients])
        time.sleep(2)
        attacker = Client(self.port, "127.0.0.66", "/status/500", 120)
        clients.append(attacker)
        time.sleep(6)
        self.assertEqual(self.doubts(understudy), [])
        self.assertGreater(attacker.statuses.count(500), 100, "the attack took place")
        self.assertEqual({s for c in clients[:3] for s in c.statuses}, {200})
        for client in clients:
            client.path = "/status/500"
        wait_until(lambda: self.doubts(understudy), 10)

    def test_who_asks_for_what_fails_leaves_repetitions_for_the_others(self):
        origins = [self.origin(name) for name in ("p1", "p2")]
        log = self.path("access.log")
        pool = 'balance = "round_robin"\n[pool.app.retry]\nbudget = "10%"\nbudget_floor = "2/s"\n[pool.app.passive]\nenabled = false\n'
        understudy = self.proxy(self.config([o.address for o in origins], check="off = true", server="workers = 2", pool=pool,
                                            more='[log]\naccess = { format = "json", path = "%s" }' % log))
        clients = [Client(self.port, "127.0.0.%d" % (11 + i), "/hello", 20) for i in range(3)]
        self.addCleanup(lambda: [c.ended.set() for c in clients])
        time.sleep(2)           # the others are there before it begins
        attacker = Client(self.port, "127.0.0.66", "/status/500", 200)
        clients.append(attacker)

        def held_back():
            return understudy.metric("retries_refused_total", pool="app", reason="client") > 20
        wait_until(held_back)
        self.assertEqual(self.request(path="/mood?errors=20", port=origins[0].port)[0], 200)

        def repeated():
            lines = self.access_lines(log)
            return [line for line in lines if line["client_ip"] in [c.address for c in clients[:3]] and line["attempts"] == 2]
        wait_until(lambda: len(repeated()) >= 10, 20)
        self.assertEqual({s for c in clients[:3] for s in c.statuses}, {200})
        self.assertEqual({line["status"] for line in repeated()}, {200})
        self.assertGreater(understudy.metric("retries_total", pool="app"), len(repeated()) + 20, "the attacker has its share")
        self.assertIn("retry_share_used_up pool=app client=127.0.0.66: ", understudy.events_text())


if __name__ == "__main__":
    unittest.main()
