"""What a kill -9 leaves: tier, epoch and operator states; and a state file that is damaged, or cannot be written."""
import json
import os
import shutil
import time
import unittest

from harness import Story, wait_until


class RestartTest(Story):
    def setUp(self):
        super().setUp()
        self.a, self.b, self.s = self.origin("a"), self.origin("b"), self.origin("s")
        self.state = self.path("state/state.json")

    def begin(self):
        understudy = self.proxy(self.config([self.a.address, self.b.address], [self.s.address]))
        self.await_healthy(understudy, self.s.address)
        return understudy

    def saved(self, holds):
        def stored():
            try:
                with open(self.state) as f:
                    return holds(json.load(f))
            except (OSError, ValueError):
                return False
        wait_until(stored, 5)

    def test_kill_nine_keeps_the_tier_the_epoch_and_what_operators_said(self):
        understudy = self.begin()
        self.await_healthy(understudy, self.a.address, self.b.address)
        understudy.cli("drain", self.a.address)
        understudy.cli("disable", self.b.address, "--for", "1h")
        wait_until(lambda: understudy.active() == "standby", 5)
        understudy.cli("maintenance", "app", "on", "--for", "1h")
        before = understudy.status()["pools"][0]
        self.saved(lambda state: state["pools"][0]["maintenance"] and len(state["endpoints"]) >= 2 and
                   sorted(e["operator"] for e in state["endpoints"]) == ["disabled", "draining", "enabled"])
        understudy.kill()

        understudy = self.begin()
        after = understudy.status()["pools"][0]
        self.assertEqual(after["active"], "standby")
        self.assertEqual(after["epoch"], before["epoch"] + 1000)
        self.assertTrue(after["maintenance"])
        self.assertIsNotNone(after["maintenance_until"])
        self.assertEqual(self.request()[0], 503)
        self.assertEqual(understudy.endpoint(self.a.address)["operator"], "draining")
        self.assertIsNone(understudy.endpoint(self.a.address)["operator_until"])
        self.assertEqual(understudy.endpoint(self.b.address)["operator"], "disabled")
        self.assertIsNotNone(understudy.endpoint(self.b.address)["operator_until"])
        understudy.cli("maintenance", "app", "off")
        self.assertEqual(self.request()[2], b"hello from s")

    def test_a_damaged_state_file_is_reported_and_set_aside(self):
        understudy = self.begin()
        understudy.cli("failover", "app")
        self.saved(lambda state: state["pools"][0]["active_tier"] == "standby")
        with open(self.state) as f:
            good = f.read()
        understudy.kill()
        for damage in (good[:len(good) // 2], "\0" * 4096, '{"format": 99}', "[" * 200000, ""):
            with self.subTest(damage[:12]):
                with open(self.state, "w") as f:
                    f.write(damage)
                understudy = self.begin()
                self.assertEqual(understudy.active(), "primary")
                self.assertEqual(self.request()[0], 200)
                self.assertIn("set aside as", understudy.events_text())
                with open(self.state + ".damaged") as f:
                    self.assertEqual(f.read(), damage)
                understudy.kill()

    def test_a_state_that_names_what_no_longer_exists_is_ignored(self):
        os.mkdir(self.path("state"))
        with open(self.state, "w") as f:
            json.dump({"format": 1, "pools": [{"name": "app", "active_tier": "moon", "epoch": 7}, {"name": "gone"}],
                       "endpoints": [{"pool": "app", "address": "10.9.9.9:1", "operator": "disabled"}]}, f)
        understudy = self.begin()
        self.assertEqual(understudy.active(), "primary")
        self.assertGreaterEqual(understudy.status()["pools"][0]["epoch"], 1007)

    def test_an_order_that_was_answered_survives_a_kill_at_once(self):
        for i in range(3):
            understudy = self.begin()
            understudy.cli("hold", "app", "--reason", "round %d" % i)
            understudy.kill()
            understudy = self.begin()
            self.assertTrue(understudy.status()["pools"][0]["held"])
            understudy.cli("release", "app")
            understudy.kill()
            understudy = self.begin()
            self.assertFalse(understudy.status()["pools"][0]["held"])
            understudy.kill()

    def test_the_time_of_an_order_goes_on_over_a_crash(self):
        understudy = self.begin()
        began = time.time()
        understudy.cli("hold", "app", "--for", "6s")
        wait_until(lambda: time.time() >= began + 3, 5)
        understudy.kill()
        understudy = self.begin()
        self.assertTrue(understudy.status()["pools"][0]["held"])
        wait_until(lambda: not understudy.status()["pools"][0]["held"], 10)
        self.assertLess(time.time() - began, 8.5)

    def test_a_failed_write_is_repeated_without_an_event(self):
        understudy = self.begin()
        self.await_healthy(understudy, self.a.address, self.b.address)
        os.rename(self.path("state"), self.path("gone"))
        answer = understudy.cli("hold", "app")
        self.assertEqual(answer.returncode, 0)
        wait_until(lambda: "the state is not kept: cannot write" in understudy.events_text(), 5)
        os.rename(self.path("gone"), self.path("state"))
        wait_until(lambda: "the state is kept again" in understudy.events_text(), 15)
        understudy.kill()
        understudy = self.begin()
        self.assertTrue(understudy.status()["pools"][0]["held"])

    def test_a_state_folder_that_vanishes_is_told_and_counted_while_everything_goes_on(self):
        understudy = self.begin()
        self.await_healthy(understudy, self.a.address, self.b.address)
        shutil.rmtree(self.path("state"))
        with open(self.path("state"), "w"):
            pass                                    # and no folder can be made in its place
        self.a.kill()
        self.b.kill()
        wait_until(lambda: understudy.active() == "standby", 5)
        self.assertEqual(self.request()[2], b"hello from s")
        wait_until(lambda: "the state is not kept: cannot write" in understudy.events_text(), 5)
        self.assertGreater(understudy.metric("log_write_errors_total"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
