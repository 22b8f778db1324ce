"""Reloads under load, half of them invalid; listeners that come and go; logs and signals; the end."""
import json
import os
import signal
import socket
import subprocess
import time
import unittest

from harness import BINARY, SLOW, Proxy, Story, free_port, wait_until
from load import Load


class ReloadTest(Story):
    def setUp(self):
        super().setUp()
        self.a = self.origin("a")
        self.b = self.origin("b")

    def open_websocket(self):
        s = self.connect()
        s.sendall(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            data = s.recv(1000)
            self.assertTrue(data, head)
            head += data
        self.assertTrue(head.startswith(b"HTTP/1.1 101"), head)
        return s

    def echo(self, s, text=b"ping"):
        s.sendall(b"\x81" + bytes([0x80 | len(text)]) + b"\0\0\0\0" + text)
        want = b"\x81" + bytes([len(text)]) + text
        got = b""
        while len(got) < len(want):
            data = s.recv(100)
            self.assertTrue(data)
            got += data
        self.assertEqual(got, want)

    def test_a_hundred_reloads_under_load_lose_nothing(self):
        good = [self.config([self.a.address, self.b.address], pool='balance = "%s"\n' % kind)
                for kind in ("round_robin", "least_request", "random", "latency")]
        understudy = self.proxy(good[0])
        self.await_healthy(understudy, self.a.address, self.b.address)
        load = Load(self.port, gets=100, posts=100).start()
        # As many tunnels as will be open in the end, once: what they cost is there before the first measurement.
        for s in [self.open_websocket() for _ in range(100)]:
            s.close()
        tunnels = []
        rss = {}
        snapshots = 0
        for i in range(100):
            if i % 2 == 0:
                understudy.write(good[i // 2 % 4])
                understudy.cli("reload")
            else:
                understudy.write(good[0] + "\n[pool.app.check]\nintervall = 3\n")
                result = understudy.cli("reload", check=False)
                self.assertEqual(result.returncode, 1)
                self.assertIn("intervall", result.stdout + result.stderr)
                self.assertIn("did you mean 'interval'", result.stdout + result.stderr)
            tunnels.append(self.open_websocket())
            if i > 0:
                self.echo(tunnels[-2])
            snapshots = max(snapshots, understudy.status()["process"]["snapshots_alive"])
            if i in (9, 99):
                rss[i] = understudy.rss()
        for s in tunnels:
            self.echo(s, b"still there")
        load.stop()
        self.assertEqual([r for r in load.results if r[3] != 200], [])
        self.assertGreater(len(load.results), 400)
        self.assertLessEqual(snapshots, 2)      # at any moment that was looked at: the one that serves, and one that a request still holds
        time.sleep(0.3)
        self.assertEqual(understudy.status()["process"]["snapshots_alive"], 1)
        if SLOW == 1:   # sanitizers keep freed memory
            self.assertLess(rss[99] - rss[9], 2 * 1024 * 1024)
        self.assertEqual(understudy.metric("config_reloads_total", result="applied"), 50)
        self.assertEqual(understudy.metric("config_reloads_total", result="refused"), 50)

    def test_listeners_come_and_go_without_losing_a_connection(self):
        understudy = self.proxy(self.config([self.a.address]))
        self.await_healthy(understudy, self.a.address)
        kept = self.connect()
        second = free_port()
        more = '[listen.second]\naddress = "127.0.0.1:%d"\n' % second
        understudy.write(self.config([self.a.address], more=more))
        understudy.cli("reload")
        self.assertEqual(self.request(port=second)[0], 200)
        s = self.connect(second)
        understudy.write(self.config([self.a.address]))
        understudy.cli("reload")
        def refused():
            try:
                socket.create_connection(("127.0.0.1", second), 1).close()
                return False
            except ConnectionRefusedError:
                return True
        wait_until(refused, 5)
        kept.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(self.read_answer(kept)[2], b"hello from a")
        # A taken port refuses the whole reload, and the old configuration keeps serving.
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            understudy.write(self.config([self.a.address], more='[listen.second]\naddress = "127.0.0.1:%d"\n' % taken.getsockname()[1]))
            result = understudy.cli("reload", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("listen.second", result.stdout + result.stderr)
        self.assertEqual(self.request()[0], 200)

    def test_a_tunnel_outlives_the_removal_of_its_endpoint_by_the_grace_of_a_stop(self):
        config = lambda origin: self.config([origin.address]).replace('shutdown_grace = "5s"', 'shutdown_grace = "3s"')
        understudy = self.proxy(config(self.a))
        self.await_healthy(understudy, self.a.address)
        tunnels = [self.open_websocket() for _ in range(3)]
        understudy.write(config(self.b))
        removed = time.monotonic()
        understudy.cli("reload")
        wait_until(lambda: self.request()[2] == b"hello from b", 5)
        while time.monotonic() < removed + 1.2:
            for s in tunnels:
                self.echo(s)
            understudy.cli("reload")                                # which is no reason to cut them either
        for s in tunnels:
            self.assertEqual(s.recv(100), b"\x88\x02\x03\xf4")      # 1012, service restart
            self.assertGreater(time.monotonic(), removed + 1.5)
            s.close()
        self.assertLess(time.monotonic() - removed, 3 + 2 * SLOW)
        wait_until(lambda: understudy.metric("websocket_sessions_closed_total", reason="endpoint_removed") == 3, 5)

    def test_the_worker_count_needs_a_restart_and_says_so(self):
        understudy = self.proxy(self.config([self.a.address], server="workers = 1"))
        understudy.write(self.config([self.a.address], server="workers = 2"))
        result = understudy.cli("reload")
        self.assertIn("server.workers", result.stdout + result.stderr)

    def test_sighup_reloads_and_a_watched_file_reloads_itself(self):
        understudy = self.proxy(self.config([self.a.address], server="watch_config = true"))
        self.await_healthy(understudy, self.a.address)
        understudy.write(self.config([self.b.address], server="watch_config = true"))
        wait_until(lambda: self.request()[2] == b"hello from b", 10)
        understudy.write(self.config([self.a.address]))
        understudy.signal(signal.SIGHUP)
        wait_until(lambda: self.request()[2] == b"hello from a", 10)

    def test_logs_are_reopened_after_rotation(self):
        access = self.path("access.log")
        understudy = self.proxy(self.config([self.a.address], more='[log]\naccess = { format = "json", path = "%s" }\n' % access))
        self.await_healthy(understudy, self.a.address)
        self.request(path="/hello?x=1", headers={"User-Agent": "a\"b\\c"})
        wait_until(lambda: os.path.getsize(access) > 0, 5)
        with open(access) as f:
            line = json.loads(f.readline())
        self.assertEqual((line["status"], line["path"], line["pool"], line["term"]), (200, "/hello?x=1", "app", "ok"))
        self.assertEqual(line["endpoint"], self.a.address)
        os.rename(access, access + ".1")
        understudy.signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(access), 5)
        self.request(path="/second")
        wait_until(lambda: os.path.getsize(access) > 0, 5)
        with open(access) as f:
            self.assertEqual(json.loads(f.readline())["path"], "/second")

    def test_a_term_signal_finishes_what_is_under_way(self):
        understudy = self.proxy(self.config([self.a.address]))
        self.await_healthy(understudy, self.a.address)
        idle, slow = self.connect(), self.connect()
        idle.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        self.read_answer(idle)
        slow.sendall(b"GET /slow?ms=1500 HTTP/1.1\r\nHost: a\r\n\r\n")
        tunnel = self.open_websocket()
        self.echo(tunnel)
        time.sleep(0.2)
        understudy.signal(signal.SIGTERM)
        time.sleep(0.2)
        idle.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        status, headers, _ = self.read_answer(idle)
        self.assertEqual((status, headers.get("connection")), (200, "close"))
        self.assertEqual(tunnel.recv(100), b"\x88\x02\x03\xf4")    # 1012, it restarts
        status, headers, body = self.read_answer(slow)
        self.assertEqual((status, body, headers.get("connection")), (200, b"slow", "close"))
        self.assertEqual(understudy.popen.wait(10), 0)

    def test_a_second_process_on_the_same_state_is_refused(self):
        self.proxy(self.config([self.a.address]))
        other = self.config([self.a.address], port=free_port()).replace("admin.sock", "other.sock")
        path = self.path("other.toml")
        with open(path, "w") as f:
            f.write(other)
        result = subprocess.run([BINARY, "run", "-c", path, "--keep-root"], capture_output=True, text=True, timeout=20)
        self.assertEqual(result.returncode, 1)
        self.assertIn("in use by another understudy", result.stderr)

    def test_a_log_that_nobody_reads_stops_no_traffic(self):
        fifo = self.path("access.fifo")
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)   # opens, and never reads
        self.addCleanup(os.close, reader)
        understudy = self.proxy(self.config([self.a.address, self.b.address], more='[log]\naccess = { format = "json", path = "%s" }\n' % fifo))
        self.await_healthy(understudy, self.a.address, self.b.address)
        s = self.connect()
        worst = 0
        for _ in range(6000):
            begin = time.monotonic()
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\nUser-Agent: %s\r\n\r\n" % (b"x" * 200))
            self.assertEqual(self.read_answer(s)[0], 200)
            worst = max(worst, time.monotonic() - begin)
        self.assertLess(worst, 1 * SLOW)
        self.assertGreater(understudy.metric("log_lines_dropped_total", log="access"), 0)
        self.a.kill()
        wait_until(lambda: not understudy.endpoint(self.a.address)["available"], 10)   # decisions go on
        self.assertEqual(self.request()[0], 200)

    def test_a_full_disk_and_an_unwritable_state_folder_stop_no_traffic(self):
        config = self.config([self.a.address], more='[log]\naccess = { format = "json", path = "/dev/full" }\n')
        config = config.replace('state_dir = "%s/state"' % self.folder, 'state_dir = "/proc/nowhere"')
        understudy = self.proxy(config)
        self.await_healthy(understudy, self.a.address)
        for _ in range(50):
            self.assertEqual(self.request()[0], 200)
        understudy.cli("drain", self.a.address)
        self.assertIn("will not survive a restart", understudy.events_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
