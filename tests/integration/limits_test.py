"""What is let in and where it goes: a tier that is asked for more than it can answer, half a tier, endpoints in quarantine,
a surge."""
import collections
import time
import unittest
import urllib.request

from harness import SLOW, Story, wait_until
from load import Load


class LimitsTest(Story):
    def mood(self, origin, text=""):
        urllib.request.urlopen(f"http://{origin.address}/mood?{text}", timeout=20).read()

    def test_what_is_too_much_is_refused_at_once_and_the_rest_is_answered_soon(self):
        server = self.origin("p1", "--delay", "20")
        proxy = self.proxy(self.config([server.address], check='path = "/healthz"\ninterval = "1s"\ntimeout = "5s"', pool="""
response_timeout = "60s"
[pool.app.degraded]
for = "1s"
""", server="max_connections_per_ip = 5000"))
        self.await_healthy(proxy, server.address)
        load = Load(self.port, gets=100, posts=0, sockets=1, timeout=70).start()
        self.addCleanup(load.stop)
        time.sleep(4 * SLOW)                    # what is usual is learned
        self.assertEqual(load.sockets_open, 1)
        self.mood(server, "rate=50")            # half of what is asked
        wait_until(lambda: proxy.events("shedding"), 40)
        self.assertIn("the rest is answered 503", proxy.events("shedding")[0]["reason"])
        self.assertGreater(proxy.metric("tier_max_unanswered", pool="app", tier="primary"), 0)
        retry = set()

        def refused():
            status, headers, _ = self.request(timeout=60)
            if status == 503:
                retry.add(int(headers["retry-after"]))
            return len(retry) > 1
        wait_until(refused, 60)                 # spread: not all are told the same
        self.assertTrue(retry <= {1, 2, 3, 4, 5}, retry)

        def soon():
            now = time.monotonic()
            late = [r for r in load.results if r[0] > now - 4 and r[0] < now - 1]
            good = [r for r in late if r[3] == 200]
            return len(good) > 60 and max(r[4] for r in good) < 1 and any(r[3] == 503 and r[4] < 0.3 for r in late)
        wait_until(soon, 60)
        self.assertEqual(len(proxy.events("shedding")), 1)      # told once
        self.assertGreater(proxy.metric("shed_total", pool="app"), 20)
        self.assertIn("more than it can answer", proxy.cli("status").stdout)
        self.assertEqual(load.socket_losses, [])                # never an open tunnel
        self.mood(server)
        load.stop()
        wait_until(lambda: len(proxy.events("shedding")) == 2, 40)

    def test_half_a_tier_keeps_what_it_can_carry(self):
        p1, p2, s1 = self.origin("p1"), self.origin("p2"), self.origin("s1")
        proxy = self.proxy(self.config([p1.address, p2.address], [s1.address], pool='tiers = "shared"'))
        self.await_healthy(proxy, p1.address, p2.address, s1.address)
        self.assertEqual(self.tally(40)["s1"], 0)
        p1.kill()
        wait_until(lambda: proxy.events("spill"), 20)
        self.assertIn("can carry 70 % of the traffic", proxy.events("spill")[-1]["reason"])
        bodies = self.tally(300)
        self.assertEqual(bodies["p1"], 0)
        self.assertGreater(bodies["s1"], 45)    # 30 % of 300, six deviations below and above
        self.assertLess(bodies["s1"], 140)
        self.assertAlmostEqual(proxy.metric("tier_share", pool="app", tier="standby"), 0.3, 3)
        self.assertEqual(proxy.active(), "primary")

    def test_who_was_down_comes_back_when_the_gate_has_passed(self):
        p1, p2 = self.origin("p1"), self.origin("p2")
        proxy = self.proxy(self.config([p1.address, p2.address], pool="""
[pool.app.failover]
quarantine = true
gates = [{ approval = "data compared" }]
"""))
        self.await_healthy(proxy, p1.address, p2.address)
        p1.kill()
        wait_until(lambda: proxy.events("endpoint_quarantined"), 20)
        p1 = self.origin("p1", port=p1.port)
        wait_until(lambda: proxy.endpoint(p1.address)["checks"] == "healthy", 20)
        time.sleep(1)
        self.assertEqual(self.tally(20), collections.Counter(p2=20))
        self.assertIn("in quarantine", proxy.cli("status").stdout)
        proxy.cli("approve", "app", "data compared", "--who", "eve", "--reason", "checksums agree")
        wait_until(lambda: proxy.endpoint(p1.address)["available"], 20)
        wait_until(lambda: self.tally(10)["p1"] > 0, 20)

    def test_a_surge_is_named_with_who_it_comes_from(self):
        server = self.origin("p1")
        proxy = self.proxy(self.config([server.address], server="max_connections_per_ip = 5000"))
        self.await_healthy(proxy, server.address)
        time.sleep(25)                          # what is usual is learned in 20 s: nothing is asked
        load = Load(self.port, gets=80, posts=0).start()
        self.addCleanup(load.stop)
        wait_until(lambda: proxy.events("surge"), 20)
        self.assertRegex(proxy.events("surge")[0]["reason"], r"a surge of clients: \d+ requests/s.* from 1 address \(127\.0\.0\.1 ")
        self.assertEqual(proxy.metric("pool_surge", pool="app"), 1)


if __name__ == "__main__":
    unittest.main()
