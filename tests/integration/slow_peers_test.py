"""Peers that are slow on purpose, and every wait of the request path with its own end, its own word and its own count."""
import json
import socket
import threading
import time
import unittest

from harness import SLOW, Story, wait_until
from raw_origin import RawOrigin, read_head


class SlowClientTest(Story):
    def setUp(self):
        super().setUp()
        self.app = self.origin("app")

    def serve(self, limits, server="workers = 1"):
        understudy = self.proxy(self.config([self.app.address], server=server, more='[log]\naccess = { format = "json", path = "%s" }\n[limits]\n' % self.path("access.log") + limits))
        self.await_healthy(understudy, self.app.address)
        return understudy

    def test_a_connection_that_says_nothing_and_one_that_falls_silent_are_closed(self):
        understudy = self.serve('first_byte_timeout = "300ms"\nidle_timeout = "400ms"\n')
        mute = [self.connect() for _ in range(50)]
        idle = self.connect()
        idle.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(self.read_answer(idle)[0], 200)
        begin = time.monotonic()
        for s in mute + [idle]:
            self.assertEqual(self.read_all(s), b"")
        self.assertLess(time.monotonic() - begin, 1 * SLOW)
        self.assertEqual(understudy.metric("limit_hits_total", limit="first_byte_timeout"), 50)
        self.assertEqual(understudy.metric("limit_hits_total", limit="idle_timeout"), 1)

    def test_slow_heads_are_ended_and_a_bystander_is_served(self):
        understudy = self.serve('header_timeout = "1s"\n')
        slow = [self.connect() for _ in range(100)]
        for s in slow:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-")
        worst = 0
        begin = time.monotonic()
        while time.monotonic() - begin < 1.3:
            for s in slow if time.monotonic() - begin < 0.8 else ():
                s.sendall(b"x")                       # a byte now and then is no progress
            start = time.monotonic()
            self.assertEqual(self.request()[0], 200)
            worst = max(worst, time.monotonic() - start)
            time.sleep(0.02)
        self.assertLess(worst, 1 * SLOW)
        for s in slow:
            answer = self.read_all(s)
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer[:60])
        self.assertEqual(understudy.metric("limit_hits_total", limit="header_timeout"), 100)

    def test_under_pressure_the_oldest_idle_connections_make_room(self):
        understudy = self.serve("", server="workers = 1\nmax_connections = 20\n")
        clients = []
        for _ in range(60):
            s = self.connect()
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(self.read_answer(s)[0], 200)
            clients.append(s)
        self.assertEqual(self.read_all(clients[0]), b"")
        clients[-1].sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(self.read_answer(clients[-1])[0], 200)
        self.assertLessEqual(understudy.metric("connections"), 20)

    def test_a_connection_in_use_does_not_make_room(self):
        understudy = self.serve("", server="workers = 1\nmax_connections = 50\n")
        used = self.connect()
        def ask():
            used.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(self.read_answer(used)[0], 200)
        ask()
        ask()
        waiting = [self.connect() for _ in range(47)]   # more than four fifths, and nobody has been idle for long
        for _ in range(20):
            ask()
            time.sleep(0.005)
        wait_until(lambda: understudy.metric("connections") == 48)
        time.sleep(1.1)
        waiting.append(self.connect())                  # but now it has
        self.assertEqual(self.read_all(used), b"")

    def test_a_body_that_stops_is_answered_408_and_the_endpoint_is_not_blamed(self):
        understudy = self.serve('body_timeout = "300ms"\n')
        for framing in (b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"):
            text = self.raw(b"POST /echo HTTP/1.1\r\nHost: a\r\n" + framing)
            self.assertTrue(text.startswith(b"HTTP/1.1 408 "), text[:60])
        self.assertEqual(understudy.metric("limit_hits_total", limit="body_timeout"), 2)
        self.assertEqual(understudy.metric("upstream_errors_total", endpoint=self.app.address), 0)

    def test_a_body_that_drips_below_the_least_rate_is_ended(self):
        understudy = self.serve('min_rate = "2KiB/s"\n')
        s = self.connect()
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        begin = time.monotonic()
        text = b""
        s.settimeout(0.1)
        while not text and time.monotonic() - begin < 12 * SLOW:
            try:
                s.sendall(b"d")
                text = s.recv(1000)
            except (socket.timeout, TimeoutError):
                pass
        self.assertTrue(text.startswith(b"HTTP/1.1 408 "), text[:60])
        self.assertGreater(time.monotonic() - begin, 4.9)
        self.assertEqual(understudy.metric("limit_hits_total", limit="min_rate"), 1)

    def reader(self):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect(("127.0.0.1", self.port))
        s.settimeout(10 * SLOW)
        self.addCleanup(s.close)
        s.sendall(b"GET /bytes?n=20000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        return s

    def test_clients_that_read_nothing_or_too_slowly_are_ended_and_a_slow_honest_one_is_not(self):
        understudy = self.serve('write_timeout = "2s"\nmin_rate = "4KiB/s"\n')
        steady = self.reader()
        self.reader()      # reads nothing
        drip = self.reader()
        begin = time.monotonic()

        def dripped():
            drip.recv(250)   # some progress each time, and far too little
            steady.recv(4096)
            return understudy.metric("limit_hits_total", limit="min_rate") == 1
        time.sleep(0.2)
        wait_until(dripped, 30, every=0.1)
        self.assertGreater(time.monotonic() - begin, 4.9)
        self.assertEqual(understudy.metric("limit_hits_total", limit="write_timeout"), 1)
        with open(self.path("access.log")) as f:
            self.assertEqual(sorted(json.loads(line)["term"] for line in f), ["client_timeout", "limit_rate"])
        self.assertGreater(len(steady.recv(4096)), 0)
        self.assertEqual(understudy.endpoint(self.app.address)["available"], True)

    def test_too_many_connections_of_one_address_are_refused_and_others_served(self):
        understudy = self.serve("", server="workers = 2\nmax_connections_per_ip = 50\n")
        held = [self.connect() for _ in range(50)]
        for s in held:
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(self.read_answer(s)[0], 200)
        for _ in range(20):
            with self.assertRaises(OSError):
                s = self.connect()
                s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
                if not s.recv(100):
                    raise ConnectionError
        other = socket.create_connection(("127.0.0.1", self.port), timeout=5, source_address=("127.0.0.2", 0))
        self.addCleanup(other.close)
        other.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(self.read_answer(other)[0], 200)
        self.assertGreaterEqual(understudy.metric("connections_rejected_total", reason="per_ip"), 20)


class SlowEndpointTest(Story):
    """Each wait for an endpoint ends in time and under its own name."""

    def access(self):
        with open(self.path("access.log")) as f:
            return [json.loads(line) for line in f]

    def ask(self, raw, pool, method="GET", body=None, seconds=0.3):
        understudy = self.proxy(self.config([raw if isinstance(raw, str) else raw.address], check="off = true", server="workers = 1",
                                            pool=pool + "retry = { max = 0 }\npassive = { enabled = false }\n",
                                            more='[log]\naccess = { format = "json", path = "%s" }\n' % self.path("access.log")))
        best = 10.0
        for _ in range(3):
            begin = time.monotonic()
            connection = self.connect()
            connection.sendall(method.encode() + b" /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" +
                               (b"Content-Length: %d\r\n" % len(body) if body else b"") + b"\r\n")
            if body:
                threading.Thread(target=self.push, args=(connection, body), daemon=True).start()
            text = self.read_all(connection)
            took = time.monotonic() - begin
            self.assertGreater(took, seconds - 0.005)
            best = min(best, took)
        self.assertLess(best, seconds + 0.02 * SLOW + 0.015)
        wait_until(lambda: len(self.access()) >= 3)
        return text, {line["term"] for line in self.access()}

    @staticmethod
    def push(connection, body):
        try:
            connection.sendall(body)
        except OSError:
            pass

    def raw_origin(self, serve):
        raw = RawOrigin(serve)
        self.addCleanup(raw.stop)
        return raw

    def test_no_answer(self):
        text, terms = self.ask(self.raw_origin(lambda s, head: time.sleep(3)), 'response_timeout = "300ms"\n')
        self.assertTrue(text.startswith(b"HTTP/1.1 504 "))
        self.assertEqual(terms, {"upstream_timeout_header"})

    def test_no_byte_of_the_request_is_taken(self):
        text, terms = self.ask(self.raw_origin(lambda s, head: time.sleep(5)), 'response_timeout = "600ms"\n', "POST", b"x" * (24 << 20), seconds=0.6)
        self.assertTrue(text.startswith(b"HTTP/1.1 504 "), text[:80])
        self.assertEqual(terms, {"upstream_timeout_header"})

    def test_an_answer_that_stops(self):
        def half(s, head):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            time.sleep(3)
        text, terms = self.ask(self.raw_origin(half), 'idle_body_timeout = "300ms"\n')
        self.assertTrue(text.endswith(b"half") or text == b"", text)   # cut, and never ended as if whole
        self.assertEqual(terms, {"upstream_timeout_body"})

    def test_a_whole_request(self):
        def drip(s, head):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(100):
                s.sendall(b"d")
                time.sleep(0.02)
        text, terms = self.ask(self.raw_origin(drip), 'request_timeout = "300ms"\n')
        self.assertEqual(terms, {"request_timeout"})

    def test_a_connection_that_is_not_taken(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(listener.close)
        address = listener.getsockname()
        for _ in range(3):      # a full backlog: further SYNs are dropped
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(address)
            self.addCleanup(s.close)
        time.sleep(0.1)
        text, terms = self.ask("127.0.0.1:%d" % address[1], 'connect_timeout = "300ms"\n')
        self.assertTrue(text.startswith(b"HTTP/1.1 504 "), text[:60])
        self.assertEqual(terms, {"upstream_timeout_connect"})

    def test_a_handshake_that_does_not_come(self):
        listener = socket.create_server(("127.0.0.1", 0))   # TCP answers, nobody speaks TLS
        self.addCleanup(listener.close)
        text, terms = self.ask("127.0.0.1:%d" % listener.getsockname()[1],
                               'connect_timeout = "300ms"\ntls = { server_name = "a", insecure = true }\n')
        self.assertTrue(text.startswith(b"HTTP/1.1 504 "), text[:60])
        self.assertEqual(terms, {"upstream_timeout_connect"})

    def test_a_pause_of_the_endpoint_is_not_held_against_the_uploading_client(self):
        def pauses(s, head):
            time.sleep(1.2)
            left = 8 << 20
            while left:
                left -= len(s.recv(min(left, 1 << 20)))
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        raw = self.raw_origin(pauses)
        understudy = self.proxy(self.config([raw.address], check="off = true", more='[limits]\nbody_timeout = "400ms"\n'))
        s = self.connect()
        s.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (8 << 20) + b"x" * ((8 << 20) - 1))
        time.sleep(0.1)
        s.sendall(b"x")
        self.assertEqual(self.read_answer(s)[2], b"ok")
        self.assertEqual(understudy.metric("limit_hits_total", limit="body_timeout"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
