"""What the rehearsals decide in virtual time, decided by the same code on sockets: slow primaries, everything slow, a blip, a standby
that fails, primaries that toggle, and a return that waits for people over a kill -9."""
import time
import unittest
import urllib.request

from harness import Story, wait_until
from load import Load, paced

CHECK = 'path = "/healthz"\ninterval = "500ms"\ntimeout = "1s"\nfall = 2\nrise = 2'
POOL = """tiers_mode = "shared"
[pool.app.degraded]
latency_p95 = "500ms"
error_rate = "5%"
[pool.app.failover]
"""


class DecisionsTest(Story):
    def begin(self, failover='failback = "manual"\n', far=False, load=True):
        self.primaries = [self.origin(name, "--delay", "50") for name in ("p1", "p2")]
        self.standbys = [self.origin(name, "--delay", "50") for name in ("s1", "s2")]
        self.far = [self.origin("f1", "--delay", "50")] if far else []
        self.failover = failover
        self.start_proxy()
        everybody = self.primaries + self.standbys + self.far
        self.await_healthy(self.understudy, *[o.address for o in everybody])
        if load:
            self.load = Load(self.port, gets=70, posts=30, sockets=10).start()
            self.addCleanup(self.load.stop)
            time.sleep(4)   # what is normal is learned

    def start_proxy(self):
        tiers = [("primary", self.primaries), ("standby", self.standbys)] + ([("far", self.far)] if self.far else [])
        listed = ", ".join('{ name = "%s", endpoints = [%s] }' % (name, ", ".join('"%s"' % o.address for o in origins))
                           for name, origins in tiers)
        config = self.config(["127.0.0.1:1"], check=CHECK, pool=POOL + self.failover, server="max_connections_per_ip = 5000")
        self.understudy = self.proxy(config.replace('primary = ["127.0.0.1:1"]', "tiers = [%s]" % listed))

    def mood(self, origins, text=""):
        for origin in origins:
            urllib.request.urlopen(f"http://{origin.address}/mood?{text}", timeout=5).read()

    def end(self):
        self.load.stop()
        return [r for r in self.load.results if r[3] != 200]

    def moves(self):
        return [e for e in self.understudy.events() if e["kind"] in ("failover", "failback")]

    @paced
    def test_slow_primaries_are_left_within_fifteen_seconds_without_a_failure(self):
        self.begin()
        self.mood(self.primaries, "delay=600")
        wait_until(lambda: self.understudy.active() == "standby", 15)
        time.sleep(1)
        self.assertEqual(self.end(), [])
        self.assertIn("'standby' measures better", self.moves()[0]["reason"])

    @paced
    def test_when_everything_is_slow_nothing_moves_and_that_is_told_once(self):
        self.begin()
        self.mood(self.primaries + self.standbys, "delay=600")
        wait_until(lambda: self.understudy.events("nothing_better"), 20)
        time.sleep(5)
        self.end()
        self.assertEqual(self.moves(), [])
        self.assertEqual(len(self.understudy.events("nothing_better")), 1)
        self.assertEqual(self.understudy.active(), "primary")

    @paced
    def test_a_blip_of_five_seconds_moves_nothing(self):
        self.begin()
        self.mood(self.primaries, "delay=600")
        time.sleep(5)
        self.mood(self.primaries)
        time.sleep(6)
        self.assertEqual(self.end(), [])
        self.assertEqual(self.moves(), [])

    @paced
    def test_a_standby_that_fails_after_the_move_gets_its_verdict_and_is_left(self):
        self.begin(far=True)
        self.mood(self.primaries, "delay=600")
        wait_until(lambda: self.understudy.active() == "standby", 20)
        self.mood(self.standbys, "errors=50")
        verdict = wait_until(lambda: [e for e in self.understudy.events("verdict") if "failed" in e["reason"]], 30)[0]
        self.assertIn("standby", verdict["reason"])
        wait_until(lambda: self.understudy.active() == "far", 20)   # the only one that is well
        self.end()

    @paced
    def test_primaries_that_toggle_cause_one_move_at_most(self):
        self.begin(failover='failback = "after 30s"\n')
        for _ in range(5):
            for origin in self.primaries:
                origin.kill()
            time.sleep(3)
            self.primaries = [self.origin(o.name, "--delay", "50", port=o.port) for o in self.primaries]
            time.sleep(3)
        self.end()
        self.assertLessEqual(len(self.moves()), 1)
        self.assertEqual([r for r in self.load.failed("GET")], [])

    def test_a_return_that_waits_for_people_waits_over_a_kill_nine(self):
        self.begin(failover='failback = "auto"\ngates = [{ approval = "data compared" }]\n', load=False)
        for origin in self.primaries:
            origin.kill()
        wait_until(lambda: self.understudy.active() == "standby", 20)
        self.primaries = [self.origin(o.name, "--delay", "50", port=o.port) for o in self.primaries]
        time.sleep(1)       # the state file is written shortly after
        self.understudy.kill()
        self.start_proxy()
        self.await_healthy(self.understudy, *[o.address for o in self.primaries])
        time.sleep(3)
        self.assertEqual(self.understudy.active(), "standby")
        self.understudy.cli("approve", "app", "data compared", "--who", "eve", "--reason", "checksums agree")
        wait_until(lambda: self.understudy.active() == "primary", 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
