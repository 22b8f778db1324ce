"""The outages, with real processes: killed, frozen, back again; and the proxy itself stopped."""
import collections
import signal
import time
import unittest

from harness import SLOW, Story, wait_until
from load import Load

CHECK = 'path = "/healthz"\ninterval = "1s"\ntimeout = "500ms"\nfall = 2\nrise = 2'


class FailoverTest(Story):
    def setUp(self):
        super().setUp()
        self.record = self.path("record")
        self.p1 = self.origin("p1", "--record", self.record)
        self.p2 = self.origin("p2", "--record", self.record)
        self.s1 = self.origin("s1", "--record", self.record)
        self.understudy = self.proxy(self.config(
            [self.p1.address, self.p2.address], [self.s1.address], check=CHECK, server="max_connections_per_ip = 5000",
            pool='response_timeout = "5s"\n[pool.app.failover]\nfailback = "after 2s"\nramp = "0s"'))
        self.await_healthy(self.understudy, self.p1.address, self.p2.address, self.s1.address)

    def posts(self):
        with open(self.record) as f:
            return collections.Counter(line.split()[2] for line in f if line.split()[1:2] == ["post"])

    def posts_by(self, names):
        with open(self.record) as f:
            return [line.split()[2] for line in f if line.split()[1:2] == ["post"] and line.split()[0] in names]

    def assert_no_post_twice(self):
        twice = [ident for ident, times in self.posts().items() if times > 1]
        self.assertEqual(twice, [])

    def test_both_primaries_killed_lose_no_repeatable_request_and_repeat_no_post(self):
        load = Load(self.port, sockets=int(200 / SLOW)).start()
        wait_until(lambda: load.sockets_open == int(200 / SLOW), 20)
        time.sleep(1)
        self.p1.kill()
        self.p2.kill()
        killed = time.monotonic()
        wait_until(lambda: self.understudy.active() == "standby", 10)
        time.sleep(3)
        wait_until(lambda: load.sockets_open == int(200 / SLOW), 20)
        load.stop()
        self.assertGreater(len(load.results), 500)
        self.assertEqual(load.failed("GET"), [])
        self.assert_no_post_twice()
        self.assertEqual({r[5] for r in load.results if r[1] == "GET" and r[0] > killed + 2}, {b"hello from s1"})
        self.assertTrue(load.socket_losses)
        self.assertLess(sorted(load.reopen_seconds)[len(load.reopen_seconds) // 2], 3 * SLOW)
        reason = self.understudy.events("failover")[0]["reason"]
        self.assertIn("'primary' lost", reason)
        self.assertIn("'standby' has 1 of 1 available", reason)
        moved = {"pool": "app", "from": "primary", "to": "standby"}
        self.assertEqual(self.understudy.metric("failover_total", **moved, **{"class": "refused"}), 1)
        self.assertEqual(self.understudy.metric("failover_duration_seconds_count", **moved), 1)
        self.assertLess(self.understudy.metric("failover_duration_seconds_sum", **moved), 10)

    def test_both_primaries_frozen_lose_no_repeatable_request_and_get_no_late_post(self):
        sockets = int(200 / SLOW)
        load = Load(self.port, timeout=20, sockets=sockets).start()
        # Some 2.5 s of GETs will be sent a second time; the retry budget (a fifth of the first attempts of 10 s) has to
        # hold that many by then.
        time.sleep(9)
        self.assertEqual(load.sockets_open, sockets)
        self.p1.signal(signal.SIGSTOP)
        self.p2.signal(signal.SIGSTOP)
        frozen = time.monotonic()
        wait_until(lambda: self.understudy.active() == "standby", 10)
        moved = time.monotonic() - frozen
        # Tunnels to the frozen ones are closed, not left hanging, and open again on the standby at once.
        wait_until(lambda: load.sockets_open == sockets and len(load.reopen_seconds) == sockets, 5)
        self.assertLess(time.monotonic() - frozen - moved, 1.5 * SLOW)
        self.assertLess(sorted(load.reopen_seconds)[sockets * 9 // 10], 0.5 * SLOW)
        time.sleep(5)
        load.stop()
        self.assertEqual(load.failed("GET"), [])
        for _, _, _, status, seconds, _ in load.failed("POST"):
            self.assertEqual(status, 504)      # was sent already; never repeated
        limit = 2 * 1.0 + 0.5        # fall × interval + timeout
        self.assertLess(moved, limit + 0.1 * SLOW)
        # What the frozen ones had received they execute when they thaw: nothing that came after the limit is among it.
        before = {r[2] for r in load.results if r[1] == "POST" and r[0] < frozen + limit}
        self.p1.signal(signal.SIGCONT)
        self.p2.signal(signal.SIGCONT)
        time.sleep(1)
        self.assertTrue(any(ident for ident in self.posts_by({"p1", "p2"})))
        late = [ident for ident in self.posts_by({"p1", "p2"}) if int(ident) not in before]
        self.assertEqual(late, [])
        self.assert_no_post_twice()

    def test_traffic_goes_back_after_the_hold_and_the_state_survives_a_restart(self):
        self.p1.kill()
        self.p2.kill()
        wait_until(lambda: self.understudy.active() == "standby", 10)
        epoch = self.understudy.status()["pools"][0]["epoch"]
        time.sleep(0.5)     # the state file is written shortly after
        self.understudy.kill()   # as hard as it gets
        again = self.proxy(self.config([self.p1.address, self.p2.address], [self.s1.address], check=CHECK, server="max_connections_per_ip = 5000",
                                       pool='[pool.app.failover]\nfailback = "after 2s"'))
        self.assertEqual(again.active(), "standby")
        self.assertGreaterEqual(again.status()["pools"][0]["epoch"], epoch + 1000)
        self.origin("p1", "--record", self.record, port=self.p1.port)
        self.origin("p2", "--record", self.record, port=self.p2.port)
        begin = time.monotonic()
        wait_until(lambda: again.active() == "primary", 20)
        self.assertGreater(time.monotonic() - begin, 2)
        self.assertEqual(len(again.events("failback")), 1)

    def test_the_proxy_stopped_for_five_seconds_blames_nobody(self):
        load = Load(self.port, gets=50, posts=50, timeout=20).start()
        time.sleep(2)
        self.understudy.signal(signal.SIGSTOP)
        time.sleep(5)
        self.understudy.signal(signal.SIGCONT)
        time.sleep(4)
        load.stop()
        self.assertEqual(self.understudy.active(), "primary")
        self.assertEqual(self.understudy.events("endpoint_ejected"), [])
        self.assertEqual(self.understudy.events("endpoint_unhealthy"), [])
        self.assertEqual(self.understudy.events("failover"), [])
        self.assertGreater(self.understudy.metric("starved_total"), 0)
        self.assert_no_post_twice()
        self.assertEqual(load.failed("GET"), [])

    def test_operator_moves_hold_until_the_operator_takes_them_back(self):
        self.understudy.cli("failover", "app", "--reason", "rehearsal")
        self.assertEqual(self.understudy.active(), "standby")
        time.sleep(3)
        self.assertEqual(self.understudy.active(), "standby")   # failback = after 2s does not undo an operator
        self.understudy.cli("failback", "app")
        self.assertEqual(self.understudy.active(), "primary")
        self.understudy.cli("maintenance", "app", "on", "--for", "1s")
        status, headers, _ = self.request()
        self.assertEqual(status, 503)
        self.assertIn("retry-after", headers)
        time.sleep(1.3)
        self.assertEqual(self.request()[0], 200)
        self.understudy.cli("drain", self.p1.address, "--for", "1s")
        self.assertEqual({self.request()[2] for _ in range(10)}, {b"hello from p2"})
        self.understudy.cli("disable", self.p2.address)
        wait_until(lambda: self.request()[2] == b"hello from p1", 5)   # the drain ended by itself
        self.understudy.cli("enable", self.p2.address)


if __name__ == "__main__":
    unittest.main(verbosity=2)
