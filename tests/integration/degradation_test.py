"""Primaries that freeze, hang, creep or fail behind a green health page: what clients see of it, with deploy/examples/failover.toml's
thresholds. "Bad" is a request that failed or took more than a second."""
import signal
import time
import unittest
import urllib.request

from harness import Story, wait_until
from load import Load, paced

CHECK = 'path = "/healthz"\ninterval = "1s"\ntimeout = "1s"'
POOL = """tiers = "shared"
connect_timeout = "1s"
response_timeout = "2500ms"
[pool.app.degraded]
latency_p95 = "500ms"
error_rate = "5%"
websocket_open_p95 = "500ms"
[pool.app.failover]
failback = "after 5s"
"""


class DegradationTest(Story):
    def setUp(self):
        super().setUp()
        self.primaries = [self.origin(name, "--delay", "5") for name in ("p1", "p2")]
        self.standbys = [self.origin(name, "--delay", "5") for name in ("s1", "s2")]
        self.understudy = self.proxy(self.config([o.address for o in self.primaries], [o.address for o in self.standbys],
                                                 check=CHECK, pool=POOL, server="max_connections_per_ip = 5000"))
        self.await_healthy(self.understudy, *[o.address for o in self.primaries + self.standbys])

    def begin(self):
        self.load = Load(self.port, gets=210, posts=90, sockets=100).start()
        self.addCleanup(self.load.stop)
        time.sleep(4)       # a baseline is learned

    def mood(self, origins, text=""):
        for origin in origins:
            urllib.request.urlopen(f"http://{origin.address}/mood?{text}", timeout=5).read()

    def bad(self, since, until=None):
        return [r for r in self.load.results
                if r[0] >= since and (until is None or r[0] < until) and (r[3] != 200 or r[4] > 1)]

    def end(self, name, began):
        self.load.stop()
        bad = self.bad(began)
        print(f"{name}: {len(bad)} bad of {len([r for r in self.load.results if r[0] >= began])}, "
              f"{len([e for e in self.understudy.events() if e['kind'] in ('failover', 'failback')])} moves", flush=True)
        return bad

    @paced
    def test_frozen_primaries_cost_few_requests_and_none_after_the_first_second(self):
        self.begin()
        began = time.monotonic()
        for origin in self.primaries:
            origin.signal(signal.SIGSTOP)
        time.sleep(6)
        bad = self.end("frozen", began)
        self.assertLess(len(bad), 80)
        self.assertEqual([r for r in bad if r[0] > began + 1.5], [])
        self.assertEqual(self.understudy.active(), "standby")
        reason = self.understudy.events("failover")[0]["reason"]
        self.assertIn("'primary'", reason)

    @paced
    def test_requests_that_hang_behind_a_green_page_cost_few(self):
        self.begin()
        began = time.monotonic()
        self.mood(self.primaries, "hang=1")
        time.sleep(6)
        bad = self.end("hang", began)
        self.assertLess(len(bad), 100)
        suspects = self.understudy.events("endpoint_suspect")
        self.assertTrue(suspects)
        self.assertIn("unanswered", suspects[0]["reason"])

    @paced
    def test_creeping_latency_is_left_before_it_hurts(self):
        self.begin()
        began = time.monotonic()
        self.mood(self.primaries, "delay=3000&ramp=10000")
        time.sleep(8)
        bad = self.end("creep", began)
        self.assertLess(len(bad), 60)

    @paced
    def test_errors_behind_a_green_page_are_avoided_and_no_tunnel_is_cut(self):
        self.begin()
        wait_until(lambda: self.load.sockets_open == 100, 10)
        began = time.monotonic()
        self.mood(self.primaries, "errors=30")
        time.sleep(6)
        bad = self.end("errors", began)
        self.assertLess(len(bad), 90)
        self.assertEqual(self.load.socket_losses, [])

    @paced
    def test_one_slow_primary_gets_next_to_nothing(self):
        self.begin()
        self.mood(self.primaries[:1], "delay=50")
        time.sleep(3)
        began = time.monotonic()
        time.sleep(5)
        self.load.stop()
        answers = [r[5] for r in self.load.results if r[0] >= began and r[1] == "GET" and r[3] == 200]
        share = sum(b == b"hello from p1" for b in answers) / len(answers)
        print(f"one slow: {share:.1%} of {len(answers)}", flush=True)
        self.assertLess(share, 0.06)
        self.assertEqual(self.bad(began), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
