"""A live drill in a running proxy: its clients are the load, its guards and its lease end it, and everything is taken back."""
import json
import os
import signal
import subprocess
import threading
import time
import unittest

from harness import BINARY, SLOW, Story, wait_until
from load import Load, paced
from raw_origin import RawOrigin
from tunnel_test import opening, switched

POOL = """
response_timeout = "10s"
[pool.app.failover]
failback = "after 5m"
ramp = "10s"
"""
SCENARIO = """name = "The primary dies"
proves = "The standby takes over."
length = "%s"
[[fault]]
at = "500ms"
where = "primary"
kind = "%s"
%s
[expect]
%s
[guards]
latency_p95 = "500ms"
over = "2s"
%s
"""


class LiveDrillTest(Story):
    def setUp(self):
        super().setUp()
        self.p1, self.p2, self.s1 = (self.origin(name) for name in ("p1", "p2", "s1"))
        self.load = None
        self.addCleanup(lambda: self.load and self.load.stop())

    def begin(self, more="", pool=POOL):
        self.understudy = understudy = self.proxy(
            self.config([self.p1.address, self.p2.address], [self.s1.address], pool=pool, more=more))
        self.await_healthy(understudy, self.p1.address, self.p2.address, self.s1.address)
        return understudy

    def scenario(self, name="s.toml", length="30s", kind="kill", fault="", expect="moves = 9", guards=""):
        with open(self.path(name), "w") as f:
            f.write(SCENARIO % (length, kind, fault, expect, guards))
        return self.path(name)

    def command(self, *args):
        return [BINARY, "drill", "--live", *args, "--admin", self.understudy.admin]

    def drill(self, *args):
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=90 * SLOW)

    def start_drill(self, *args):
        """Under way, its fault injected."""
        process = subprocess.Popen(self.command(*args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.kill)

        def injected():
            return "injects: " in process.stdout.readline()
        wait_until(injected, 20, 0)
        return process

    def drills(self):
        return json.loads(self.understudy.get("/api/v1/drills")[1])["drills"]

    def served_by(self, seconds):
        """Who answered requests that began in the last `seconds`."""
        since = time.monotonic() - seconds
        recent = [r for r in self.load.results if r[0] >= since and r[3] == 200]
        return [r[5].decode().rsplit(" ", 1)[-1] for r in recent if r[1] == "GET"]

    @paced
    def test_a_drill_moves_traffic_passes_and_is_written_down_as_one(self):
        understudy = self.begin(pool=POOL.replace("after 5m", "after 1s"), more='[incidents]\nsettle = "2s"')
        self.load = Load(self.port, gets=100, posts=30).start()
        time.sleep(2)
        file = self.scenario(length="16s", fault='until = "4s"', expect='failed = 3\nshifted = "2s"\nserving = [{ at = "3s", tier = "standby" }]\nevents = ["drill"]')
        result = self.drill(file, "--json", self.path("d.json"), "--junit", self.path("d.xml"))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("passed: all of 4 expectations", result.stdout)
        self.assertIn("in the running proxy at", result.stdout)
        with open(self.path("d.json")) as f:
            drill = json.load(f)["drills"][0]
        self.assertTrue(drill["live"])
        self.assertGreater(drill["met"], 0)
        self.assertGreater(drill["requests"], 100 * 10)
        self.assertLess(drill["detected_ms"], 1500)
        # In the audit, the events and the incident.
        self.assertRegex(understudy.events_text(), r"drill pool=app: drill 'The primary dies' injects: kill at primary")
        self.assertIn("is complete", understudy.events("drill")[-1]["reason"])
        incident = json.loads(understudy.get("/api/v1/incidents")[1])["incidents"][0]
        self.assertEqual(incident["drill"], "The primary dies")
        self.assertIn("[drill] In a drill, pool app", understudy.cli("incidents").stdout)
        self.assertIn("This was a drill: The primary dies.", understudy.cli("incident", "show", "1", "--markdown").stdout)
        self.assertEqual(understudy.metric("drills_total", result="complete"), 1)
        self.assertEqual(understudy.metric("drill_active", pool="app"), 0)
        self.load.stop()
        posts = self.load.failed("POST")
        self.assertLessEqual(len(posts), 3, posts[:5])

    @paced
    def test_a_standby_that_adds_two_seconds_is_found_by_the_guard_and_everything_is_back(self):
        understudy = self.begin()
        self.load = Load(self.port, gets=100, posts=0).start()
        self.request(path="/mood?delay=2000", port=self.s1.port)
        time.sleep(2)
        result = self.drill(self.scenario(expect="moves = 9"))
        cut = time.monotonic()
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn("FAILED  the drill runs to its end", result.stdout)
        self.assertIn("its guard latency_p95", result.stdout)
        self.assertIn("FAILED: 1 of 2 expectations", result.stdout)
        told = [e for e in understudy.events("drill") if "was cut short" in e["reason"]]
        self.assertEqual(len(told), 1)
        back = [e for e in understudy.events("failback")]
        self.assertEqual(len(back), 1)
        self.assertIn("a drill was cut short", back[0]["reason"])
        time.sleep(max(0, cut + 5 - time.monotonic()))
        time.sleep(2)
        answered = self.served_by(2)
        self.assertGreater(len(answered), 100)
        self.assertGreaterEqual(sum(1 for name in answered if name in ("p1", "p2")), 0.99 * len(answered))
        self.assertEqual(understudy.active(), "primary")
        self.assertTrue(understudy.endpoint(self.p1.address)["available"])
        self.assertEqual(understudy.metric("drills_total", result="cut"), 1)

    @paced
    def test_everything_is_back_within_a_second_when_the_command_is_killed(self):
        understudy = self.begin()
        self.load = Load(self.port, gets=100, posts=30).start()
        time.sleep(2)
        for kind in ("kill", "freeze"):
            process = self.start_drill(self.scenario(kind=kind))
            wait_until(lambda: understudy.active() == "standby", 10)
            process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            wait_until(lambda: understudy.active() == "primary" and understudy.endpoint(self.p1.address)["available"], 5, 0.01)
            self.assertLess(time.monotonic() - killed, 1.0 * SLOW, kind)
            time.sleep(1.2)
            answered = self.served_by(1)
            self.assertGreater(len(answered), 50)
            self.assertEqual([name for name in answered if name not in ("p1", "p2")], [], kind)
            self.assertIn("its lease", self.drills()[0]["why"])

            def well():
                return all(i["state"] != "open" for i in json.loads(understudy.get("/api/v1/incidents")[1])["incidents"])
            wait_until(well, 20)
        self.load.stop()
        lost = [r for r in self.load.results if r[3] != 200]
        self.assertLessEqual(len(lost), 0.02 * len(self.load.results), lost[:5])

    def test_what_a_frozen_endpoint_was_to_get_it_gets_when_the_drill_ends(self):
        record = self.path("record")
        self.p1.kill()
        self.p1 = self.origin("p1", "--record", record, port=self.p1.port)
        understudy = self.begin(pool='tiers = "exclusive"\nresponse_timeout = "20s"\n')
        understudy.cli("disable", self.p2.address)
        process = self.start_drill(self.scenario(kind="hang", guards="standby_fit = false"))
        answers = []
        threads = [threading.Thread(target=lambda i=i: answers.append(
            self.request("POST", "/post", headers={"X-Id": str(i)}, body=b"x" * 100, timeout=20))) for i in range(3)]
        for t in threads:
            t.start()

        def waiting():
            return self.drills()[0]["met"] >= 3
        wait_until(waiting, 10)
        self.assertFalse(os.path.exists(record) and "post" in open(record).read(), "nothing was sent")
        process.send_signal(signal.SIGINT)
        for t in threads:
            t.join(20)
        self.assertEqual([a[0] for a in answers], [200, 200, 200])
        with open(record) as f:
            self.assertEqual(sorted(f.read().split("\n"))[-3:], ["p1 post 0", "p1 post 1", "p1 post 2"])
        self.assertEqual(process.wait(20), 4, "interrupted")

    def test_one_at_a_time_and_never_beside_somebody_at_work(self):
        understudy = self.begin(more='[incidents]\nsettle = "1s"')
        file = self.scenario(kind="errors", fault='share = "1%"')
        process = self.start_drill(file)
        self.assertIn("DRILL 1: The primary dies, pool app", understudy.cli("status").stdout)
        self.assertEqual(understudy.metric("drill_active", pool="app"), 1)
        second = self.drill(file)
        self.assertEqual(second.returncode, 2, second.stdout)
        self.assertIn("is under way in pool 'app'; one at a time", second.stderr)
        # An order of an operator ends it (law 4).
        understudy.cli("hold", "app")
        self.assertEqual(process.wait(20), 1)
        self.assertIn("cut short by an order of", process.stdout.read())
        refused = self.drill(file)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("is held on its tier", refused.stderr)
        understudy.cli("release", "app")
        # A real outage.
        self.p1.kill()

        def open_incident():
            return [i for i in json.loads(understudy.get("/api/v1/incidents")[1])["incidents"] if i["state"] == "open"]
        wait_until(open_incident, 20)
        refused = self.drill(file)
        self.assertEqual(refused.returncode, 2)
        self.assertRegex(refused.stderr, "its guard no_incident: incident 1 of pool 'app' is open")
        self.assertEqual(json.loads(understudy.get("/api/v1/incidents")[1])["incidents"][0]["drill"], "")

    def really_dies(self, guards):
        """The primary, while a drill is under way of which no fault has begun."""
        understudy = self.begin()
        self.load = Load(self.port, gets=60, posts=20).start()
        time.sleep(1)
        with open(self.scenario(length="90s", guards=guards)) as f:
            text = f.read().replace('at = "500ms"', 'at = "60s"')
        with open(self.path("later.toml"), "w") as f:
            f.write(text)
        process = subprocess.Popen(self.command(self.path("later.toml")), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.kill)
        wait_until(lambda: self.drills() and self.drills()[0]["state"] == "running", 20)
        self.p1.kill()
        self.p2.kill()
        wait_until(lambda: understudy.active() == "standby", 20)
        return understudy, process

    @paced
    def test_what_really_died_meanwhile_gets_no_traffic_when_the_drill_is_cut(self):
        understudy, process = self.really_dies("no_incident = false")
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        process.wait(20)
        ended = len(self.load.results)
        time.sleep(2)
        self.assertEqual(self.drills()[0]["state"], "cut")
        self.assertEqual(understudy.active(), "standby")
        self.assertFalse(understudy.endpoint(self.p1.address)["available"])
        self.assertEqual([r for r in self.load.results[ended:] if r[3] != 200], [])
        self.assertEqual(understudy.events("failback"), [])

    def test_a_real_outage_ends_a_drill_and_is_no_drill(self):
        understudy, process = self.really_dies("")
        wait_until(lambda: self.drills()[0]["state"] == "cut", 10)
        self.assertIn("its guard no_incident", self.drills()[0]["why"])
        self.assertEqual(json.loads(understudy.get("/api/v1/incidents")[1])["incidents"][0]["drill"], "")
        self.assertEqual(process.wait(20), 1)

    def test_what_a_process_that_died_in_a_drill_moved_goes_back(self):
        understudy = self.begin(pool='[pool.app.failover]\nfailback = "manual"\n')
        self.start_drill(self.scenario())
        wait_until(lambda: understudy.active() == "standby", 10)

        def kept():
            with open(self.path("state/state.json")) as f:
                return '"left_by_drill":"primary"' in f.read().replace(" ", "")
        wait_until(kept, 10)
        understudy.kill()
        understudy = self.begin(pool='[pool.app.failover]\nfailback = "manual"\n')
        wait_until(lambda: understudy.active() == "primary", 10)
        self.assertIn("a drill was under way when", understudy.events("failback")[0]["reason"])
        history = json.loads(understudy.get("/api/v1/drills/history")[1])["history"]
        self.assertEqual([h["verdict"] for h in history], ["cut"])
        self.assertIn("the end of the process that ran it", history[0]["why"])
        # And one that a stop ends is written down as well.
        process = self.start_drill(self.scenario())
        understudy.signal(signal.SIGTERM)
        self.assertEqual(understudy.popen.wait(20), 0)
        process.wait(20)
        understudy = self.begin(pool='[pool.app.failover]\nfailback = "manual"\n')
        history = json.loads(understudy.get("/api/v1/drills/history")[1])["history"]
        self.assertEqual([h["why"] for h in history][1:], ["the stop of this process"])

    def test_gates_hold_whatever_ends_the_drill(self):
        understudy = self.begin(pool='[pool.app.failover]\nfailback = "after 1s"\ngates = [{ approval = "data compared" }]\n')
        refused = self.drill(self.scenario())
        self.assertEqual(refused.returncode, 2)
        self.assertIn("write leave_gated = true in its [guards]", refused.stderr)
        process = self.start_drill(self.scenario(guards="leave_gated = true"))
        wait_until(lambda: understudy.active() == "standby", 10)
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: self.drills()[0]["state"] == "cut", 10)
        wait_until(lambda: understudy.endpoint(self.p1.address)["available"], 10)
        time.sleep(2)
        self.assertEqual(understudy.active(), "standby")
        self.assertIn("its return waits for gates", understudy.events_text())
        understudy.cli("approve", "app", "data compared", "--reason", "0 rows differ")
        wait_until(lambda: understudy.active() == "primary", 20)

    def test_what_cannot_be_is_refused_before_anything_happens(self):
        understudy = self.begin()
        file = self.scenario(guards='block_out = ["mon-sun"]')
        refused = self.drill(file)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("its guard block_out: no drill in 'mon-sun'", refused.stderr)
        self.assertEqual(understudy.metric("drills_total", result="refused"), 1)
        refused = self.drill(self.scenario(kind="overload", fault="limit = 3"))
        self.assertEqual((refused.returncode, refused.stdout), (2, ""))
        self.assertIn('kind = "overload" can\'t be injected into a running proxy', refused.stderr)
        with open(file) as f:
            text = f.read().replace('where = "primary"', 'where = "primry"').replace('kind = "overload"\nlimit = 3', 'kind = "kill"')
        with open(file, "w") as f:
            f.write(text)
        refused = self.drill(file)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("s.toml:6:9: error: 'where' of fault 1 names 'primry'", refused.stderr)
        self.s1.kill()
        wait_until(lambda: not understudy.endpoint(self.s1.address)["available"], 10)
        refused = self.drill(self.scenario(guards="no_incident = false"))
        self.assertEqual(refused.returncode, 2)
        self.assertIn("its guard standby_fit: 'standby' is not able to serve", refused.stderr)
        self.assertEqual(understudy.events("drill"), [])
        gone = subprocess.run([BINARY, "drill", "--live", self.scenario(), "--admin", "unix:" + self.path("nobody.sock")],
                              capture_output=True, text=True, timeout=30)
        self.assertEqual(gone.returncode, 3, gone.stderr)

    def test_only_the_requests_that_are_meant_meet_it(self):
        understudy = self.begin()
        process = self.start_drill(self.scenario(kind="errors", fault='header = "X-Drill: yes"\nstatus = 502', guards='error_share = "none"'))
        for _ in range(5):
            self.assertEqual(self.request()[0], 200)
            self.assertEqual(self.request(headers={"X-Drill": "no"})[0], 200)
        status, headers, body = self.request("POST", "/post", headers={"X-Drill": "yes", "X-Id": "1"}, body=b"x")
        self.assertEqual(status, 502)
        self.assertIn(b"drill", body)
        process.send_signal(signal.SIGINT)
        process.wait(20)
        self.assertEqual(self.request("POST", "/post", headers={"X-Drill": "yes", "X-Id": "2"}, body=b"x")[0], 200)
        self.assertGreaterEqual(understudy.metric("drill_faults_met_total"), 1)

    def test_parked_tunnels_meet_it_like_any_other_opening(self):
        heads = []
        lost = threading.Event()

        def serve(s, head):
            heads.append(head)
            s.sendall(switched())
            if len(heads) == 1:
                lost.wait(30 * SLOW)
            else:
                s.recv(1)
        raw = RawOrigin(serve)
        self.addCleanup(raw.stop)
        self.understudy = understudy = self.proxy(self.config(
            [raw.address], [self.s1.address], pool="[pool.app.passive]\nenabled = false\n",
            more='[[route]]\npool = "app"\nwebsocket = { on_endpoint_loss = "resume", park_timeout = "20s" }\n'))
        self.await_healthy(understudy, raw.address, self.s1.address)
        client = self.connect()
        client.sendall(opening(more=b"x-drill:  yes\r\n"))
        self.assertTrue(client.recv(4096).startswith(b"HTTP/1.1 101 "))
        process = self.start_drill(self.scenario(kind="errors", fault='header = "X-Drill: yes"\nstatus = 502', guards='error_share = "none"'))
        lost.set()
        wait_until(lambda: understudy.metric("websocket_resume_failed_total") >= 1)
        self.assertGreaterEqual(understudy.metric("drill_faults_met_total"), 1)
        self.assertEqual(len(heads), 1, "nothing of it went to the endpoint")
        process.send_signal(signal.SIGINT)
        process.wait(20)
        wait_until(lambda: understudy.metric("websocket_parking_ended_total", result="resumed") == 1)
        self.assertEqual(len(heads), 2)
        self.assertIn(b"Understudy-Resume: ", heads[1])

    def test_a_slow_endpoint_and_a_reload_that_ends_it(self):
        understudy = self.begin()
        process = self.start_drill(self.scenario(kind="slow", fault='latency = "700ms"', guards="min_requests = 100"))
        began = time.monotonic()
        self.assertEqual(self.request()[0], 200)
        self.assertGreater(time.monotonic() - began, 0.6)
        understudy.cli("reload")
        self.assertEqual(process.wait(20), 1)
        self.assertIn("cut short by a reload of the configuration", process.stdout.read())
        began = time.monotonic()
        self.assertEqual(self.request()[0], 200)
        self.assertLess(time.monotonic() - began, 0.6)


if __name__ == "__main__":
    unittest.main()
