"""What is written down about an outage agrees with what the clients met, outlives kill -9, and can be read by people."""
import collections
import datetime
import glob
import json
import os
import time
import unittest
import xml.dom.minidom

from harness import SLOW, Story, wait_until
from load import Load, paced
from openings_test import OpeningOrigin
from tunnel_test import open_tunnel, opening

FAILOVER = """
response_timeout = "5s"
[pool.app.passive]
base_ejection = "1s"
[pool.app.degraded]
error_rate = "5%"
for = "1s"
[pool.app.failover]
failback = "after 1s"
verify = "1s"
ramp = "0s"
"""
SETTLE = '[incidents]\nsettle = "3s"'


def seconds(text):
    """Unix time of what the API shows."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class IncidentTest(Story):
    def setUp(self):
        super().setUp()
        self.p1, self.p2, self.s1 = (self.origin(name) for name in ("p1", "p2", "s1"))
        self.load = None
        self.addCleanup(lambda: self.load and self.load.stop())

    def begin(self, more=SETTLE):
        understudy = self.proxy(self.config([self.p1.address, self.p2.address], [self.s1.address], pool=FAILOVER, more=more))
        self.await_healthy(understudy, self.p1.address, self.p2.address, self.s1.address)
        return understudy

    def opening_origin(self):
        origin = OpeningOrigin("delay", 1)
        self.processes.append(origin)
        return origin

    def mood(self, query=""):
        for origin in (self.p1, self.p2):
            self.request(path="/mood" + query, port=origin.port)

    def incident(self, understudy, number=1):
        return json.loads(understudy.cli("incident", "show", str(number), "--json").stdout)

    def listed(self, understudy):
        return json.loads(understudy.get("/api/v1/incidents")[1])["incidents"]

    def await_state(self, understudy, state, limit=40):
        def reached():
            return [i for i in self.listed(understudy) if i["state"] == state]
        reached.__name__ = "an incident that is " + state
        return wait_until(reached, limit)[0]

    @paced
    def test_times_and_counts_are_those_of_the_clients(self):
        understudy = self.begin()
        self.load = load = Load(self.port, gets=100, posts=20).start()
        time.sleep(3)
        self.assertEqual(self.listed(understudy), [])
        offset = time.time() - time.monotonic()
        # The health page stays green, every real answer is an error.
        self.mood("?errors=100")
        wait_until(lambda: understudy.active() == "standby", 10, every=0.01)
        moved = time.time()
        time.sleep(2)
        self.assertIn("incident 1 (open, major)", understudy.cli("status").stdout)
        self.assertEqual(understudy.metric("incident_open", pool="app"), 1)
        self.mood()
        wait_until(lambda: understudy.active() == "primary", 40, every=0.01)
        back = time.time()
        self.await_state(understudy, "closed")
        load.stop()

        failed = [r for r in load.results if isinstance(r[3], int) and r[3] >= 500]
        self.assertEqual([r for r in load.results if r[3] != 200 and r not in failed], [])
        self.assertGreater(len(failed), 3)
        incident = self.incident(understudy)
        counts = incident["counts"]
        self.assertEqual(counts["failed"], len(failed))
        self.assertEqual(counts["retried"], understudy.metric("retries_total", pool="app"))
        first = offset + min(r[0] for r in failed)
        last = offset + max(r[0] + r[4] for r in failed)
        answered = [r for r in load.results if seconds(incident["began"]) <= offset + r[0] + r[4] <= seconds(incident["closed"])]
        self.assertLess(abs(counts["requests"] - len(answered)), 2 * 120 * SLOW, "but for a second at either end")
        self.assertLess(abs(seconds(incident["began"]) - first), 1)
        self.assertLess(abs(seconds(incident["moved"]) - moved), 1)
        self.assertLess(abs(seconds(incident["traffic_moved"]) - moved), 1)
        self.assertLess(abs(seconds(incident["went_back"]) - back), 1)
        self.assertLessEqual(seconds(incident["detected"]), moved)
        self.assertLessEqual(seconds(incident["began"]), seconds(incident["detected"]))
        self.assertGreaterEqual(seconds(incident["returned"]), seconds(incident["went_back"]) - 0.01)
        self.assertLessEqual(last, seconds(incident["returned"]) + 1)
        self.assertEqual(incident["epoch"], incident["epoch_before"] + 2)
        self.assertEqual(sum(s["failed"] for s in incident["samples"]), len(failed))
        before = [s for s in incident["samples"] if seconds(s["from"]) + s["over_ms"] / 1000 <= seconds(incident["began"])]
        self.assertTrue(before, "what was normal stands beside it")
        self.assertTrue(all(s["failed"] == 0 for s in before))
        self.assertTrue(any(len(e["alternatives"]) == 2 for e in incident["entries"]), "what else there was")
        self.assertEqual(understudy.metric("incidents_total", severity="major"), 1)
        self.assertEqual(understudy.metric("incident_open", pool="app"), 0)
        self.assertEqual(understudy.metric("incident_lines_dropped_total"), 0)
        self.read_by_people(understudy, incident)

    def read_by_people(self, understudy, incident):
        self.assertRegex(understudy.cli("incidents").stdout, r"^1 +20\S+ \S+ +closed +major +Pool app was not well")
        page = understudy.cli("incident", "show", "1", "--markdown").stdout
        for heading in ("# Incident 1: pool app", "## Summary", "## Impact", "## Times", "## Probable cause", "## What clients met",
                        "## Timeline", "## To add"):
            self.assertIn(heading, page)
        for step in ("begin", "detect", "decide", "shift", "verify", "return", "normal", "close"):
            self.assertRegex(page, r"(?m)^\| %s \| \d\d:\d\d:\d\d\.\d\d\d \|" % step)
        self.assertIn("%d (" % incident["counts"]["failed"], page)
        charts = [part.split("</svg>")[0] for part in page.split("<svg ")[1:]]
        self.assertEqual(len(charts), 2)
        for chart in charts:
            drawn = xml.dom.minidom.parseString("<svg " + chart + "</svg>")
            points = drawn.getElementsByTagName("polyline")[0].getAttribute("points").split()
            self.assertEqual(len(points), len([s for s in incident["samples"] if s["requests"]]), "one for each sample")
        text = understudy.cli("incident", "show", "1").stdout
        self.assertNotIn("<svg", text)
        self.assertIn("## Timeline", text)
        unknown = understudy.cli("incident", "show", "99", check=False)
        self.assertEqual(unknown.returncode, 1)
        self.assertIn("no incident 99", unknown.stderr)
        self.assertEqual(understudy.get("/api/v1/incidents/x")[0], 400)

    def test_what_waited_was_refused_or_lost_its_endpoint_is_counted(self):
        p, s = self.opening_origin(), self.opening_origin()
        understudy = self.proxy(self.config(
            [p.address], [s.address], pool='[pool.app.openings]\nadaptive = false\nmax = 1\nqueue = 5\nwait = "60s"\n[pool.app.failover]\nfailback = "manual"\n',
            more='[[route]]\npool = "app"\nwebsocket = { on_endpoint_loss = "resume", park_timeout = "60s" }\n' + SETTLE))
        self.await_healthy(understudy, p.address, s.address)
        devices = [open_tunnel(self) for _ in range(8)]
        self.assertEqual(understudy.metric("requests_queued_total"), 0, "one after another")
        p.kill()
        wait_until(lambda: understudy.active() == "standby", 10)
        wait_until(lambda: s.stats()["open"] == 8, 30)

        # One is opened for as long as the endpoint likes; five have a place in the queue, three have none.
        s.get("/control?delay=3")
        crowd = [self.connect(timeout=30) for _ in range(9)]
        crowd[0].sendall(opening())
        wait_until(lambda: s.stats()["asked"] == 9)
        for one in crowd[1:]:
            one.sendall(opening())
        wait_until(lambda: understudy.status()["pools"][0]["openings"]["waiting"] == 5)
        s.get("/control?delay=0")
        answers = collections.Counter(one.recv(12) for one in crowd)
        self.assertEqual(answers, {b"HTTP/1.1 101": 6, b"HTTP/1.1 503": 3})
        for device in devices:
            device.setblocking(False)
            with self.assertRaises(BlockingIOError, msg="its client noticed nothing"):
                device.recv(1)

        wanted = {"tunnels_parked": len(devices), "tunnels_resumed": len(devices), "tunnels_dropped": 0, "queued": 5, "openings_queued": 5,
                  "openings_refused": 3, "failed": 3}
        def counted():
            counts = self.incident(understudy)["counts"]
            return {name: counts[name] for name in wanted} == wanted
        wait_until(counted, 5)
        page = understudy.cli("incident", "show", "1").stdout
        for row in ("queued, for a tier or for their turn | 5", "of them: too many WebSockets were being opened | 3",
                    "of them: reopened at another endpoint | 8"):
            self.assertIn("| %s |\n" % row, page)
        self.assertEqual(understudy.metric("requests_queued_total"), 5)
        self.assertEqual(understudy.metric("websocket_openings_queued_total"), 5)

    def test_kill_nine_in_the_middle_loses_nothing_but_the_unfinished_line(self):
        understudy = self.begin()
        self.p1.kill()
        self.p2.kill()
        wait_until(lambda: understudy.active() == "standby", 10)
        understudy.cli("hold", "app", "--for", "1h", "--reason", "looking | at <it>")
        path = self.path("state/incidents/000001.jsonl")

        def written():
            if not os.path.exists(path):
                return False
            with open(path) as f:
                return "looking | at" in f.read()
        wait_until(written, 5)
        time.sleep(1.5)
        understudy.kill()
        with open(path) as f:
            lines = f.read().splitlines()
        self.assertGreater(len(lines), 5)
        self.assertEqual({json.loads(line)["v"] for line in lines}, {1})
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path, "a") as f:
            f.write(lines[-1][:40])

        understudy = self.proxy(self.config([self.p1.address, self.p2.address], [self.s1.address], pool=FAILOVER, more=SETTLE))
        self.assertIn("the last 40 bytes were not written whole and were cut off", understudy.events_text())
        self.assertIn("incident 1 of pool app was open when the former process ended; it goes on", understudy.events_text())
        incident = self.incident(understudy)
        self.assertEqual((incident["state"], incident["restarts"]), ("open", 1))
        kept = [json.loads(line) for line in lines]
        lost = collections.Counter(e["text"] for e in kept if e["type"] == "entry") - \
            collections.Counter(e["text"] for e in incident["entries"])
        self.assertEqual(lost, {})
        self.assertEqual(sum(e["event"] == "restarted" for e in incident["entries"]), 1)
        self.assertGreaterEqual(len(incident["samples"]), sum(e["type"] == "sample" for e in kept))
        self.assertTrue(any(e["kind"] == "person" and "looking" in e["text"] and e["who"] for e in incident["entries"]))
        page = understudy.cli("incident", "show", "1", "--markdown").stdout
        self.assertIn("looking \\| at &lt;it&gt;", page)

        self.p1 = self.origin("p1", port=self.p1.port)
        self.p2 = self.origin("p2", port=self.p2.port)
        understudy.cli("release", "app")
        closed = self.await_state(understudy, "closed")
        self.assertEqual(closed["number"], 1)
        self.assertIsNotNone(closed["went_back"])
        self.assertIsNotNone(closed["decided"], "from before the kill")
        with open(path) as f:
            self.assertEqual(json.loads(f.read().splitlines()[-1])["type"], "closed")

        # A stop in good order, and the closed one is still there; the next has the next number.
        understudy.cli("stop")
        understudy.popen.wait(20)
        understudy = self.begin()
        self.assertEqual([i["number"] for i in self.listed(understudy)], [1])
        self.p1.kill()
        self.assertEqual(self.await_state(understudy, "open")["number"], 2)
        self.assertEqual(self.listed(understudy)[0]["severity"], "minor")

    def test_a_folder_that_takes_nothing_is_told_and_holds_nobody(self):
        understudy = self.begin()
        folder = self.path("state/incidents")
        os.rename(folder, folder + ".aside")
        with open(folder, "w") as f:
            f.write("in the way")
        self.p1.kill()
        self.p2.kill()
        wait_until(lambda: understudy.active() == "standby", 10)
        wait_until(lambda: "incidents cannot be written" in understudy.events_text(), 10)
        self.assertEqual(self.request()[2], b"hello from s1")
        self.assertGreaterEqual(understudy.metric("incident_write_errors_total"), 1)
        self.assertEqual(self.incident(understudy)["state"], "open", "it goes on in memory")
        os.remove(folder)
        os.rename(folder + ".aside", folder)
        wait_until(lambda: "incidents can be written again" in understudy.events_text(), 10)
        with open(glob.glob(folder + "/*.jsonl")[0]) as f:
            self.assertEqual(json.loads(f.readline())["type"], "opened")


if __name__ == "__main__":
    unittest.main()
