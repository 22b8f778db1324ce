"""The admin API and its verbs on a running proxy: what it shows, what it changes and for how long, whom it refuses, what it measures."""
import http.client
import json
import shutil
import socket
import subprocess
import time
import unittest

from harness import SLOW, Story, free_port, wait_until

TOKEN = "sesame-of-the-story"


class AdminTest(Story):
    def setUp(self):
        super().setUp()
        self.p1, self.p2, self.s1 = self.origin("p1"), self.origin("p2"), self.origin("s1")
        self.understudy = self.proxy(self.config([self.p1.address, self.p2.address], [self.s1.address],
                                                 pool='[pool.app.failover]\nramp = "0s"'))
        self.await_healthy(self.understudy, self.p1.address, self.p2.address, self.s1.address)

    def post(self, path, body, headers=None):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(20 * SLOW)
        connection.sock.connect(self.understudy.admin[5:])
        marks = {"X-Understudy": "1", "Content-Type": "application/json"} if headers is None else headers
        connection.request("POST", path, body if isinstance(body, (str, bytes)) else json.dumps(body), marks)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer.getheader("Content-Type"), json.loads(text)

    # -- verbs

    def test_an_operator_moves_a_pool_and_takes_it_back(self):
        moved = self.understudy.cli("failover", "app", "--reason", "kernel upgrade")
        self.assertIn("standby serves", moved.stdout)
        self.assertEqual(self.request()[2], b"hello from s1")
        self.assertIn("kernel upgrade", self.understudy.events("failover")[-1]["reason"])
        self.assertEqual(self.understudy.metric("failover_total", pool="app", **{"from": "primary"}, to="standby"), 1)
        self.assertGreater(self.understudy.metric("failover_last_timestamp_seconds", pool="app"), time.time() - 60 * SLOW)
        self.understudy.cli("failback", "app")
        self.assertEqual(self.understudy.active(), "primary")
        again = self.understudy.cli("failback", "app", check=False)
        self.assertEqual(again.returncode, 1)
        self.assertIn("already", again.stderr)
        unknown = self.understudy.cli("failover", "app", "--to", "standbye", check=False)
        self.assertEqual(unknown.returncode, 1)
        self.assertIn("tiers: primary, standby", unknown.stderr)

    def test_an_endpoint_state_ends_by_itself_or_by_order(self):
        label = self.p1.address
        shown = self.understudy.cli("drain", label, "--for", "1s")
        self.assertIn("draining", shown.stdout)
        self.assertEqual(self.understudy.endpoint(label)["operator"], "draining")
        self.assertEqual({self.request()[2] for _ in range(12)}, {b"hello from p2"})

        def enabled_again():
            return self.understudy.endpoint(label)["operator"] == "enabled"
        wait_until(enabled_again, 10)
        self.understudy.cli("disable", label, "--pool", "app")
        self.assertFalse(self.understudy.endpoint(label)["available"])
        self.assertEqual(self.understudy.metric("endpoint_state", endpoint=label, state="disabled"), 1)
        self.understudy.cli("reload")
        self.assertEqual(self.understudy.endpoint(label)["operator"], "disabled", "a reload takes nothing back from the operator")
        self.understudy.cli("enable", label)
        wait_until(lambda: self.understudy.endpoint(label)["available"], 10)
        missing = self.understudy.cli("drain", "10.9.8.7:1", check=False)
        self.assertEqual(missing.returncode, 1)
        self.assertIn(label, missing.stderr)

    def test_maintenance_answers_503_with_a_page_until_its_time_is_over(self):
        self.understudy.cli("maintenance", "app", "on", "--for", "3s")
        status, headers, body = self.request(headers={"Accept": "text/html"})
        self.assertEqual((status, headers["content-type"]), (503, "text/html; charset=utf-8"))
        self.assertIn(b"under maintenance", body)
        self.assertIn(int(headers["retry-after"]), range(1, 4))
        status, headers, body = self.request(headers={"Accept": "application/json"})
        self.assertEqual((status, json.loads(body)["reason"]), (503, "maintenance"))
        self.assertIn("MAINTENANCE", self.understudy.cli("status").stdout)
        self.assertEqual(self.understudy.get("/readyz")[0], 503)
        wait_until(lambda: self.request()[0] == 200, 15)
        self.understudy.cli("maintenance", "app", "on")
        self.assertEqual(self.request()[0], 503)
        self.understudy.cli("maintenance", "app", "off")
        self.assertEqual(self.request()[0], 200)
        self.assertEqual([e["kind"] for e in self.understudy.events("maintenance")], ["maintenance"] * 4)

    def test_a_refused_reload_is_loud_and_changes_nothing(self):
        good = self.understudy.cli("reload", "--wait")
        self.assertIn("reloaded", good.stdout)
        self.understudy.write(self.config([self.p1.address], pool="blance = 1"))
        bad = self.understudy.cli("reload", check=False)
        self.assertEqual(bad.returncode, 1)
        self.assertIn("unknown key 'blance'", bad.stderr)
        self.assertIn("did you mean 'balance'?", bad.stderr)
        self.assertEqual(len(self.understudy.status()["pools"][0]["tiers"]), 2)
        self.assertEqual(self.understudy.metric("config_last_reload_successful"), 0)
        self.assertEqual(self.understudy.metric("config_reloads_total", result="refused"), 1)

    # -- reads

    def test_reads_show_status_pools_events_and_health(self):
        status = self.understudy.status()
        self.assertEqual((status["state"], status["pools"][0]["active"]), ("ok", "primary"))
        pool = json.loads(self.understudy.get("/api/v1/pools/app")[1])
        self.assertEqual(pool, {**pool, "name": "app", "state": "ok", "epoch": 1})
        self.assertEqual(len(json.loads(self.understudy.get("/api/v1/pools")[1])["pools"]), 1)
        code, text = self.understudy.get("/api/v1/pools/none")
        self.assertEqual((code, json.loads(text)["detail"]), (404, "no pool 'none'; pools: app"))
        self.understudy.cli("drain", self.p1.address)
        events = json.loads(self.understudy.get("/api/v1/events?since=0")[1])
        self.assertEqual(events["next"], events["events"][-1]["id"])
        self.assertEqual(json.loads(self.understudy.get("/api/v1/events?since=%d" % events["next"])[1])["events"], [])
        self.assertIn("is draining", self.understudy.cli("events").stdout)
        self.assertEqual(self.understudy.get("/livez"), (200, "ok\n"))
        self.assertEqual(self.understudy.get("/readyz?verbose"), (200, "pool app: ok\nok\n"))
        self.assertEqual(self.understudy.cli("healthcheck", "--ready").returncode, 0)

    # -- whom it refuses

    def test_changes_need_their_marks_and_problems_are_rfc_9457(self):
        on = {"pool": "app", "on": True}
        for headers, code in (({}, 403), ({"X-Understudy": "1"}, 415), ({"Content-Type": "application/json"}, 403),
                              ({"X-Understudy": "1", "Content-Type": "text/plain"}, 415)):
            status, kind, problem = self.post("/api/v1/maintenance", on, headers)
            self.assertEqual((status, kind, problem["status"]), (code, "application/problem+json", code))
            self.assertTrue(problem["title"] and problem["detail"])
        for body, code, said in (("{bad", 400, "byte"), ({"pool": "app"}, 422, "'on' is required"), ({**on, "onn": 1}, 422, "did you mean 'on'?"),
                                 ({**on, "for": "soon"}, 422, "1m30s"), ({**on, "for": 30}, 422, "must be text"),
                                 ('{"pool":"app","on":true,"on":false}', 400, "twice"), (b" " * 70000, 413, "64 KiB"),
                                 ({**on, "pool": "ap"}, 409, "pools: app")):
            status, kind, problem = self.post("/api/v1/maintenance", body)
            self.assertEqual((status, kind), (code, "application/problem+json"), problem)
            self.assertIn(said, problem["detail"])
        self.assertFalse(self.understudy.status()["pools"][0]["maintenance"])
        self.assertGreaterEqual(self.understudy.metric("admin_rejected_total", reason="rules"), 4)

    def tcp(self, port, headers, path="/api/v1/status", method="GET", body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * SLOW)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, answer, text

    def test_on_tcp_foreign_hosts_sites_and_guessers_are_refused(self):
        port = free_port()
        config = self.config([self.p1.address], port=free_port()).replace(
            'listen = "unix:%s/admin.sock"' % self.folder, 'listen = "127.0.0.1:%d"\ntoken = "%s"\nmax_connections = 4' % (port, TOKEN))
        self.understudy.signal(15)
        self.understudy.popen.wait(20 * SLOW)
        proxy = self.proxy(config)
        login = {"Authorization": "Bearer " + TOKEN}
        status, answer, text = self.tcp(port, login)
        self.assertEqual(status, 200)
        self.assertEqual(answer.getheader("X-Frame-Options"), "DENY")
        self.assertIn("default-src 'none'", answer.getheader("Content-Security-Policy"))
        self.assertNotIn("Access-Control-Allow-Origin", dict(answer.getheaders()))
        for headers, code in (({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({**login, "Host": "evil.example"}, 403),
                              ({**login, "Host": "127.0.0.1:1"}, 403), ({**login, "Host": "localhost:%d" % port}, 200),
                              ({**login, "Origin": "http://evil.example"}, 403), ({**login, "Origin": "null"}, 403),
                              ({**login, "Origin": "http://127.0.0.1:%d" % port}, 200), ({**login, "Sec-Fetch-Site": "cross-site"}, 403),
                              ({**login, "Sec-Fetch-Site": "same-site"}, 403), ({**login, "Sec-Fetch-Site": "same-origin"}, 200)):
            status, answer, text = self.tcp(port, headers)
            self.assertEqual(status, code, (headers, text))
            if code != 200:
                self.assertEqual(answer.getheader("Content-Type"), "application/problem+json")
        for path in ("/metrics", "/livez", "/"):
            self.assertEqual(self.tcp(port, {}, path)[0], 401)
        # Guessing is slowed down, whoever knows the token on a connection of his own goes on.
        codes = [self.tcp(port, {"Authorization": "Bearer %d" % n})[0] for n in range(20)]
        self.assertIn(429, codes)
        # More connections than allowed: the one that waits longest makes room, the operator is never locked out.
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(12)]
        self.addCleanup(lambda: [s.close() for s in idle])
        wait_until(lambda: self.tcp(port, login)[0] == 200, 10)
        with open(proxy.log_path) as log:
            self.assertNotIn(TOKEN, log.read())

    # -- metrics

    @unittest.skipUnless(shutil.which("promtool"), "needs promtool")
    def test_metrics_pass_promtool_and_carry_the_promised_names(self):
        self.request()
        status, text = self.understudy.get("/metrics")
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30 * SLOW)
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))
        types = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE understudy_"))
        promised = {
            "gauge": "build_info start_time_seconds config_last_reload_successful config_last_reload_success_timestamp_seconds"
                     " endpoint_state tier_active tier_available_endpoints tier_endpoints failover_epoch failover_last_timestamp_seconds"
                     " connections connections_max websocket_sessions tls_certificate_expiry_timestamp_seconds open_fds memory_bytes",
            "counter": "config_reloads_total requests_total upstream_requests_total upstream_errors_total check_total failover_total"
                       " connections_rejected_total limit_hits_total protocol_errors_total retries_total tls_handshakes_total"
                       " log_lines_dropped_total admin_requests_total admin_rejected_total",
            "histogram": "request_duration_seconds upstream_duration_seconds upstream_connect_seconds check_duration_seconds"
                         " failover_duration_seconds"}
        for kind, names in promised.items():
            for name in names.split():
                self.assertEqual(types.get("understudy_" + name), kind, name)
        for foreign in ('server="', 'backend="', 'group="', 'host="', 'path="'):
            self.assertNotIn(foreign, text, "labels use the glossary's words and nothing of a request")
        self.assertGreater(self.understudy.metric("check_total", endpoint=self.p1.address, result="ok"), 0)
        self.assertEqual(self.understudy.metric("failover_total", pool="app"), 0, "there from the start, for rate()")
        self.assertEqual(self.understudy.metric("failover_duration_seconds_count", pool="app", **{"from": "primary"}), 0)
        wait_until(lambda: self.understudy.metric("request_duration_seconds_count", listener="web", route="route-1") == 1)
        self.assertEqual(self.understudy.metric("request_duration_seconds_count", listener="web", route="none"), 0)
        self.assertRegex(text, r'build_info\{version="[0-9.]+",commit="([0-9a-f]{12}(-dirty)?|unknown)"\} 1')
        open_metrics = self.understudy.get("/metrics", {"Accept": "application/openmetrics-text"})[1]
        self.assertTrue(open_metrics.endswith("# EOF\n"))


if __name__ == "__main__":
    unittest.main()
