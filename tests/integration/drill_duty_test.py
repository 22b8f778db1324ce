"""Drills that have to be made again and again: overdue ones are told, what was made is remembered over restarts."""
import datetime
import http.server
import json
import os
import subprocess
import threading
import time
import unittest

from harness import BINARY, SLOW, Story, wait_until
from load import Load

SCENARIO = """name = "A few errors"
length = "3s"
[[fault]]
at = "500ms"
until = "1s"
where = "primary"
kind = "errors"
share = "5%"
[expect]
moves = 0
failed = 100
"""


class DrillDutyTest(Story):
    def setUp(self):
        super().setUp()
        self.p1, self.s1 = self.origin("p1"), self.origin("s1")
        with open(self.path("few_errors.toml"), "w") as f:
            f.write(SCENARIO)
        self.told = []
        told = self.told

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.hook = "http://127.0.0.1:%d/hook" % server.server_port

    def config_due(self, minutes_ago):
        due = datetime.datetime.now() - datetime.timedelta(minutes=minutes_ago)
        day = "mon tue wed thu fri sat sun".split()[due.weekday()]
        more = '[alerts.ops]\nurl = "%s"\n[drill.weekly]\nscenario = "few_errors.toml"\nat = "%s %02d:%02d"\npools = ["app"]\ngrace = "1m"\n' % (
            self.hook, day, due.hour, due.minute)
        return self.config([self.p1.address], [self.s1.address], more=more)

    def duty(self, understudy):
        duties = understudy.status()["drill_duties"]
        return duties[0] if duties else None

    def test_overdue_is_told_until_it_is_made_and_history_outlives_the_process(self):
        # It has been a duty for a month, says what an earlier process left.
        os.mkdir(self.path("state"))
        with open(self.path("state/drills.jsonl"), "w") as f:
            f.write(json.dumps({"v": 1, "type": "duty", "drill": "weekly", "pool": "app", "since": (time.time() - 30 * 86400) * 1000 // 1}).replace(".0}", "}") + "\n")
            f.write('{"v":1,"type":"drill","name":"cut off in the mid\n')
        understudy = self.proxy(self.config_due(5))
        self.await_healthy(understudy, self.p1.address, self.s1.address)
        self.assertIn("1 lines of '%s' cannot be read and are left out" % self.path("state/drills.jsonl"), understudy.events_text())
        wait_until(lambda: self.duty(understudy), 10)
        duty = self.duty(understudy)
        self.assertEqual((duty["overdue"], duty["made"]), (True, None))
        self.assertEqual(understudy.metric("drill_overdue", drill="weekly", pool="app"), 1)
        self.assertIn("is OVERDUE", understudy.cli("status").stdout)
        self.assertIn("OVERDUE: drill weekly of pool app", understudy.cli("drill", "history").stdout)
        wait_until(lambda: self.told, 10)
        self.assertEqual((self.told[0]["type"], self.told[0]["pool"]), ("drill.overdue", "app"))
        self.assertIn("drill 'weekly' of pool 'app' is overdue", self.told[0]["reason"])

        load = Load(self.port, gets=50, posts=0).start()
        self.addCleanup(load.stop)
        time.sleep(1)
        result = subprocess.run([BINARY, "drill", "--live", self.path("few_errors.toml"), "--admin", understudy.admin],
                                capture_output=True, text=True, timeout=60 * SLOW)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

        def made():
            return not self.duty(understudy)["overdue"]
        wait_until(made, 10)
        self.assertEqual(understudy.metric("drill_overdue", drill="weekly", pool="app"), 0)
        self.assertGreater(understudy.metric("drill_last_made_timestamp_seconds", drill="weekly"), time.time() - 60)
        self.assertEqual(len(self.told), 1, "told once")
        history = understudy.cli("drill", "history").stdout
        self.assertRegex(history, r"app +passed .*A few errors")
        self.assertIn("scheduled: drill weekly of pool app", history)
        understudy.kill()
        understudy = self.proxy(self.config_due(5))
        record = json.loads(understudy.cli("drill", "history", "--json").stdout)["history"][0]
        self.assertEqual((record["name"], record["pool"], record["verdict"]), ("A few errors", "app", "passed"))
        self.assertGreater(record["requests"], 50)
        wait_until(lambda: self.duty(understudy), 10)
        self.assertFalse(self.duty(understudy)["overdue"])

    def test_nobody_is_late_with_what_was_only_just_asked_for_and_a_bad_scenario_is_refused(self):
        understudy = self.proxy(self.config_due(5))
        wait_until(lambda: self.duty(understudy), 10)
        self.assertEqual((self.duty(understudy)["due"], self.duty(understudy)["overdue"]), (None, False))
        understudy.cli("reload")
        with open(self.path("few_errors.toml"), "w") as f:
            f.write(SCENARIO.replace('"errors"\nshare = "5%"', '"overload"\nlimit = 3'))
        refused = understudy.cli("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("can't be run live: line 7", refused.stderr)


if __name__ == "__main__":
    unittest.main()
