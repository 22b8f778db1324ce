"""A drill from the command line: refused before anything starts, passed, failed, interrupted, and what it leaves behind."""
import json
import os
import signal
import subprocess
import unittest
import xml.etree.ElementTree as xml

from harness import BINARY, SLOW, Story, wait_until

CONFIG = """[listen.web]
address = ":8080"
[pool.app]
primary = ["10.0.0.11:3000"]
standby = ["10.0.1.11:3000"]
check = { path = "/healthz", interval = "500ms" }
"""
SCENARIO = """name = "The primary dies"
proves = "It costs nothing."
length = "3s"
[load]
rate = "100/s"
[[fault]]
at = "1s"
where = "primary"
kind = "kill"
[expect]
failed_repeatable = 0
serving = [{ at = "3s", tier = "standby" }]
"""


class DrillTest(Story):
    def setUp(self):
        super().setUp()
        self.temporary = self.path("temporary")
        os.mkdir(self.temporary)

    def file(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)

    def command(self, *args):
        return [BINARY, "drill", *args]

    def drill(self, *args):
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=60 * SLOW, cwd=self.folder,
                              env={**os.environ, "TMPDIR": self.temporary})

    def refused(self, scenario, config=CONFIG):
        self.file("c.toml", config)
        self.file("s.toml", scenario)
        result = self.drill("s.toml", "-c", "c.toml")
        self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
        return result.stderr

    def test_what_cannot_be_done_or_measured_is_refused_with_line_and_remedy(self):
        said = self.refused(SCENARIO.replace('kind = "kill"', 'kind = "kill"\nhealth = "good"'))
        self.assertIn('s.toml:10:10: error: a health page can\'t be good behind kind = "kill"', said)
        self.assertIn('write kind = "hang"', said)
        self.assertIn("s.toml:9:8: error: ", self.refused(SCENARIO.replace('"kill"', '"explode"')))
        said = self.refused(SCENARIO.replace("failed_repeatable = 0", "sockets_dropped = 0"))
        self.assertIn("s.toml:11:1: error: 'sockets_dropped' can't be measured without WebSockets", said)
        said = self.refused(SCENARIO.replace('at = "1s"', 'at = "9s"'))
        self.assertIn("s.toml:7:6: error: 'at' is after the end of the scenario", said)
        self.assertIn("s.toml:8:9: error: 'where' of fault 1 names 'primry'",
                      self.refused(SCENARIO.replace('"primary"', '"primry"')))
        self.assertIn("s.toml:12:32: error: 'serving' names 'spare'", self.refused(SCENARIO.replace('"standby" }', '"spare" }')))
        self.assertIn("s.toml:1:8: error: 'pool' names 'shop', which the configuration does not have",
                      self.refused('pool = "shop"\n' + SCENARIO))
        self.assertIn("takes no POST", self.refused(
            SCENARIO.replace("[[fault]]", 'post = "30%"\n[[fault]]'),
            CONFIG + '[[route]]\nmatch = { methods = ["GET"] }\npool = "app"\n'))

    def test_a_rehearsal_refuses_what_needs_sockets(self):
        self.file("c.toml", CONFIG)
        self.file("s.toml", SCENARIO.replace('kind = "kill"', 'kind = "overload"\nlimit = 3'))
        result = subprocess.run([BINARY, "rehearse", "c.toml", "s.toml"], capture_output=True, text=True,
                                cwd=self.folder, timeout=30 * SLOW)
        self.assertEqual(result.returncode, 2)
        self.assertIn("run it with 'understudy drill'", result.stderr)

    def test_a_report_that_cannot_be_written_is_known_before_the_drill(self):
        self.file("c.toml", CONFIG)
        self.file("s.toml", SCENARIO)
        result = self.drill("s.toml", "-c", "c.toml", "--json", "nowhere/x.json")
        self.assertEqual((result.returncode, result.stdout), (2, ""))

    def test_a_drill_passes_and_every_report_says_so(self):
        self.file("c.toml", CONFIG)
        self.file("s.toml", SCENARIO)
        result = self.drill("s.toml", "-c", "c.toml", "--retries", "2", "--json", "d.json", "--junit", "d.xml",
                            "--markdown", "d.md", "--requests", "d.csv")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("the endpoints are embedded origins on loopback", result.stdout)
        self.assertIn("passed: all of 3 expectations", result.stdout)
        self.assertIn("passed  the incident record tells what the load met", result.stdout)
        with open(self.path("d.json")) as f:
            drill = json.load(f)["drills"][0]
        self.assertEqual((drill["verdict"], drill["requests"]), ("passed", 300))
        self.assertEqual(sum(drill["answered_by"].values()), drill["answered"])
        self.assertGreater(drill["answered_by"]["10.0.1.11:3000"], 100)
        self.assertLess(drill["detected_ms"], 1000)
        suite = xml.parse(self.path("d.xml")).getroot().find("testsuite")
        self.assertEqual((suite.get("tests"), suite.get("failures")), ("3", "0"))
        with open(self.path("d.csv")) as f:
            lines = f.read().splitlines()
        self.assertEqual(len(lines), 301)
        self.assertEqual(sum(1 for line in lines if ",answered,200," in line), drill["answered"])
        with open(self.path("d.md")) as f:
            self.assertIn("| The primary dies | It costs nothing. | passed | 300 | 0 |", f.read())
        self.assertEqual(os.listdir(self.temporary), [], "nothing is left behind")

    def test_a_drill_fails_when_an_expectation_does(self):
        self.file("c.toml", CONFIG)
        self.file("s.toml", SCENARIO.replace('tier = "standby"', 'tier = "primary"'))
        result = self.drill("s.toml", "-c", "c.toml", "--retries", "2")
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn("FAILED  tier 'primary' serves at 3 s", result.stdout)

    def long_drill(self):
        """Under way, its fault begun."""
        self.file("c.toml", CONFIG)
        self.file("s.toml", SCENARIO.replace('"3s"', '"30s"'))
        process = subprocess.Popen(self.command("s.toml", "-c", "c.toml"), stdout=subprocess.PIPE, text=True,
                                   cwd=self.folder, env={**os.environ, "TMPDIR": self.temporary})

        def it_runs():
            return "fault: kill" in process.stdout.readline()
        wait_until(it_runs, 20, 0)
        return process

    def test_an_interrupted_drill_is_invalid_and_leaves_nothing(self):
        with self.long_drill() as process:
            process.send_signal(signal.SIGINT)
            said = process.stdout.read()
            self.assertEqual(process.wait(20 * SLOW), 4, said)
        self.assertIn("INVALID: it was interrupted", said)
        self.assertEqual(os.listdir(self.temporary), [])

    def test_the_proxy_dies_with_its_drill(self):
        with self.long_drill() as process:
            with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as f:
                child = int(f.read().split()[0])
            process.kill()

        def child_is_gone():
            try:
                with open("/proc/%d/stat" % child) as f:
                    return f.read().rsplit(")", 1)[1].split()[0] == "Z"
            except FileNotFoundError:
                return True
        wait_until(child_is_gone, 10)

    def replaced_drill(self):
        """(the drill under way, processes below it) once a new process serves, and the old one may still be there."""
        self.file("c.toml", CONFIG)
        self.file("s.toml", SCENARIO.replace('"3s"', '"30s"').replace("[expect]", '[[operator]]\nat = "2s"\nact = "upgrade"\n[expect]'))
        process = subprocess.Popen(self.command("s.toml", "-c", "c.toml"), stdout=subprocess.PIPE, text=True,
                                   cwd=self.folder, env={**os.environ, "TMPDIR": self.temporary})
        self.addCleanup(process.stdout.close)
        said = []

        def it_serves():
            said.append(process.stdout.readline())
            return "serves from now on" in said[-1]
        wait_until(it_serves, 30, 0)
        below = {int(said[-1].split("process ")[1].split()[0])}
        with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as f:
            below.update(int(pid) for pid in f.read().split())
        self.assertGreaterEqual(len(below), 2, "the keeper, and who serves")
        return process, below

    def is_there(self, pid):
        try:
            with open("/proc/%d/stat" % pid) as f:
                return f.read().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def test_a_killed_drill_leaves_nobody_who_took_over(self):
        process, below = self.replaced_drill()
        process.kill()
        process.wait(20 * SLOW)
        wait_until(lambda: not any(self.is_there(pid) for pid in below), 10)

    def test_an_interrupted_drill_leaves_nobody_who_took_over(self):
        process, below = self.replaced_drill()
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
        self.assertEqual(process.wait(30 * SLOW), 4, said)
        self.assertFalse([pid for pid in below if self.is_there(pid)])
        self.assertEqual(os.listdir(self.temporary), [])


if __name__ == "__main__":
    unittest.main()
