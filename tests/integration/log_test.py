"""The access log in both formats and the event log: what strangers send breaks no line, and rotation loses none."""
import json
import os
import re
import signal
import unittest

from harness import Story, wait_until

COMBINED = re.compile(r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "(\S+) (\S+) (HTTP/1\.[01])" (\d{3}) (\d+) "([^"]*)" "([^"]*)"\n')


class LogTest(Story):
    def begin(self, log):
        self.a = self.origin("a")
        understudy = self.proxy(self.config([self.a.address], server="workers = 2", more="[log]\n" + log))
        self.await_healthy(understudy, self.a.address)
        return understudy

    def lines(self, path, count):
        def all_there():
            with open(path, errors="surrogateescape") as f:
                lines = f.readlines()
            return lines if len(lines) >= count else None
        return wait_until(all_there, 5)

    def ask(self, agent, path=b"/hello"):
        s = self.connect()
        s.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: example.org\r\nReferer: http://r/\r\nUser-Agent: " + agent + b"\r\n\r\n")
        return self.read_answer(s)[0]

    def test_json_holds_every_field_and_no_byte_of_a_stranger_breaks_it(self):
        path = self.path("access.log")
        self.begin('access = { format = "json", path = "%s" }' % path)
        agents = [bytes([byte]) for byte in range(0x21, 0x100) if byte != 0x7f] + [b'", "status": 999, "', "\u2028\u202e".encode()]
        for agent in agents:
            self.assertEqual(self.ask(b"x" + agent + b"y"), 200)
        lines = [json.loads(line) for line in self.lines(path, len(agents))]
        self.assertEqual(len(lines), len(agents))
        for line in lines:
            self.assertLessEqual({"ts", "client_ip", "method", "host", "path", "proto", "status", "bytes_in", "bytes_out", "duration_ms",
                                  "ttfb_ms", "connect_ms", "queue_ms", "tls", "listener", "route", "pool", "tier", "endpoint", "epoch", "attempts", "hedge",
                                  "request_id", "trace_id", "term", "websocket", "user_agent", "referer"}, set(line))
            self.assertRegex(line["ts"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertEqual((line["client_ip"], line["host"], line["status"], line["attempts"], line["term"]),
                             ("127.0.0.1", "example.org", 200, 1, "ok"))
            self.assertEqual((line["listener"], line["pool"], line["endpoint"]), ("web", "app", self.a.address))
        plain = ["x%sy" % agent.decode() for agent in agents if agent.isascii() and b"\\" not in agent]
        self.assertLessEqual(set(plain), {line["user_agent"] for line in lines})

    def test_combined_is_read_by_those_who_read_apaches(self):
        path = self.path("access.log")
        self.begin('query = false\naccess = { format = "combined", path = "%s" }' % path)
        agents = [b"curl/7.88", b'a"b\\c', b"\xff\xfe", "Müller".encode()]
        for agent in agents:
            self.assertEqual(self.ask(agent, b"/hello?secret=1"), 200)
        lines = self.lines(path, len(agents))
        for line in lines:
            match = COMBINED.fullmatch(line)
            self.assertTrue(match, line)
            self.assertTrue(line.isascii(), line)
            self.assertEqual((match[1], match[3], match[4], match[6], match[8]), ("127.0.0.1", "GET", "/hello", "200", "http://r/"))
        self.assertTrue(any('"a\\x22b\\x5Cc"' in line for line in lines), lines)

    def test_rotation_under_load_loses_no_line_of_either_log(self):
        access, events = self.path("access.log"), self.path("events.log")
        understudy = self.proxy_with_files(access, events)
        sent = 0
        for round in range(5):
            for _ in range(60):
                self.assertEqual(self.request(path="/%d" % sent)[0], 200)
                sent += 1
            for path in (access, events):
                os.rename(path, "%s.%d" % (path, round))
            if round % 2:
                understudy.cli("logs", "reopen")
            else:
                understudy.signal(signal.SIGUSR1)
            wait_until(lambda: os.path.exists(access) and os.path.exists(events), 5)
        def logged():
            paths = []
            for name in os.listdir(self.folder):
                if name.startswith("access.log"):
                    paths += [line["path"] for line in self.access_lines(self.path(name))]
            return paths if len(paths) == sent else None
        self.assertEqual(sorted(wait_until(logged, 5)), sorted("/%d" % i for i in range(sent)))
        self.assertIn("logs reopened", "".join(open(self.path(n)).read() for n in os.listdir(self.folder) if n.startswith("events.log")))
        # A folder that is gone: the old files stay in use.
        os.rename(access, access + ".last")
        os.mkdir(access)
        understudy.signal(signal.SIGUSR1)
        wait_until(lambda: "the old file stays in use" in open(events).read(), 5)
        self.request(path="/still")
        wait_until(lambda: any(line["path"] == "/still" for line in self.access_lines(access + ".last")), 5)

    def proxy_with_files(self, access, events):
        a = self.origin("a")
        understudy = self.proxy(self.config([a.address], more='[log]\npath = "%s"\naccess = { format = "json", path = "%s" }' %
                                            (events, access)), wait=False)
        def serving():
            try:
                return understudy.endpoint(a.address)["available"]
            except OSError:
                return False
        wait_until(serving, 20)
        return understudy

    def test_a_log_that_cannot_be_opened_refuses_the_start_and_says_how_to_mend_it(self):
        a = self.origin("a")
        understudy = self.proxy(self.config([a.address], more='[log]\naccess = { format = "json", path = "%s/no/such/folder/a.log" }' %
                                            self.folder), wait=False)
        self.assertEqual(understudy.popen.wait(20), 1)
        self.assertIn("create the folder", understudy.events_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
