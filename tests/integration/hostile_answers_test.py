"""The tables of hostile bytes, answers: what an endpoint may send, and what becomes of it. Nothing reaches a client that it did not ask for."""
import socket
import time
import unittest

from harness import Story, wait_until
from raw_origin import RawOrigin, read_head


class HostileAnswerTest(Story):
    """Rows of raw answers; each is asked for twice, so that a poisoned connection would show."""

    ROWS = [("two_lengths", 502), ("length_and_chunked", 502), ("bad_status", 502), ("nul", 502), ("bare_lf", 502), ("not_http", 502),
            ("half_head", 502), ("huge_head", 502), ("many_fields", 502), ("unasked_101", 502)]

    def setUp(self):
        super().setUp()
        self.app = self.origin("app")
        self.understudy = self.proxy(self.config([self.app.address], pool="passive = { enabled = false }\n"))
        self.await_healthy(self.understudy, self.app.address)

    def test_answers_that_are_no_http_become_502(self):
        for name, status in self.ROWS:
            with self.subTest(name):
                for _ in range(2):
                    self.assertEqual(self.request("POST", "/raw?" + name, body=b"x")[0], status)
                self.assertEqual(self.request()[2], b"hello from app")
        self.assertGreater(self.understudy.metric("protocol_errors_total", side="upstream"), 0)

    def test_endless_early_hints_end_in_502(self):
        answer = self.raw(b"GET /raw?many_103 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self.assertEqual(answer.count(b"HTTP/1.1 103"), 8)
        self.assertIn(b"HTTP/1.1 502", answer)

    def test_a_cut_answer_is_cut_for_the_client_too(self):
        for name in ("cut_body", "cut_chunk", "bad_chunk"):
            with self.subTest(name):
                s = self.connect()
                s.sendall(b"GET /raw?%s HTTP/1.1\r\nHost: a\r\n\r\n" % name.encode())
                answer = self.read_all(s)
                self.assertFalse(answer.endswith(b"\r\n0\r\n\r\n"))
                if name == "cut_body":
                    self.assertTrue(answer.startswith(b"HTTP/1.1 200"))

    def test_surplus_bytes_never_become_somebody_elses_answer(self):
        for _ in range(20):
            self.assertEqual(self.request(path="/raw?surplus")[2], b"ok")
            self.assertEqual(self.request()[2], b"hello from app")
        self.assertEqual(self.request(path="/raw?no_content_body")[0], 204)
        self.assertEqual(self.request()[2], b"hello from app")

    def test_a_wrong_accept_opens_no_tunnel(self):
        for path, status in (("/wrong-accept", b"502"), ("/refuse", b"403")):
            answer = self.raw(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                              b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", timeout=2)
            self.assertEqual(answer[9:12], status)


class RawAnswerTest(Story):
    """Endpoints that break the order of things."""

    def serve(self, handler, **options):
        raw = RawOrigin(handler, **{k: options.pop(k) for k in ("greeting",) if k in options})
        self.addCleanup(raw.stop)
        understudy = self.proxy(self.config([raw.address], check="tcp = true", pool=options.get("pool", "") + "passive = { enabled = false }\n",
                                            server=options.get("server", "workers = 1")))
        self.await_healthy(understudy, raw.address)
        return raw, understudy

    def test_who_speaks_before_it_was_asked_answers_nobody(self):
        poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
        def slow(s, head):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        raw, understudy = self.serve(slow, greeting=poison, pool="retry = { max = 0 }\n")
        # A greeting that comes after the request left looks like its answer; one that was seen before never is.
        def refused():
            return self.request("POST", "/x", body=b"x")[0] == 502 and understudy.metric("upstream_errors_total", endpoint=raw.address) > 0
        wait_until(refused, 20, every=0)

    def test_surplus_behind_an_answer_closes_the_connection_even_when_it_comes_later(self):
        def late(s, head):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            time.sleep(0.05)
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
            read_head(s)
        raw, understudy = self.serve(late)
        for n in range(1, 6):
            self.assertEqual(self.request()[2], b"ok")
            time.sleep(0.1)
            self.assertEqual(raw.connections, n)

    def test_an_endless_interim_stream_and_an_endless_head_are_bounded(self):
        def endless(s, head):
            part = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" if b"/hints" in head else b"X-Pad: 0123456789abcdef\r\n"
            if b"/hints" not in head:
                s.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                s.sendall(part * 64)
        raw, understudy = self.serve(endless)
        before = understudy.rss()
        for path in ("/hints", "/head"):
            text = self.raw(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % path.encode())
            self.assertIn(b"HTTP/1.1 502 ", text)
        self.assertLess(understudy.rss() - before, 8 << 20)

    def test_no_content_and_length_and_two_framings_leave_no_byte_behind(self):
        texts = {b"/204": b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison",
                 b"/304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison",
                 b"/205": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n",
                 b"/head": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"}
        def serve(s, head):
            while head:
                s.sendall(texts[head.split(b" ")[1]])
                head = read_head(s)
        raw, understudy = self.serve(serve)
        for path in texts:
            method = "HEAD" if path == b"/head" else "GET"
            for _ in range(3):
                s = self.connect(timeout=2)
                s.sendall(b"%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % (method.encode(), path))
                text = self.read_all(s)
                self.assertNotIn(b"poison", text)
                self.assertEqual(text.count(b"HTTP/1.1 "), 1)
        self.assertEqual(raw.connections, 3 * len(texts))

    def test_a_client_that_leaves_between_two_interim_answers_hurts_nobody(self):
        go = []
        def hints(s, head):
            go.append(s)
            while s in go:
                time.sleep(0.002)
            time.sleep(0.2)
        raw, understudy = self.serve(hints)
        for _ in range(10):
            s = self.connect()
            s.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_until(lambda: go)
            understudy.signal(19)      # both events wait for the same turn: the interim answers first, then the end
            time.sleep(0.02)
            go[0].sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 4)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            time.sleep(0.02)
            s.close()
            understudy.signal(18)
            go.clear()
        self.assertEqual(understudy.get("/livez")[0], 200)
        self.assertTrue(understudy.alive())

    def test_interim_answers_stay_in_front_of_the_final_one_when_the_client_does_not_read(self):
        size = 6_000_000
        def serve(s, head):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"b" * size)
            while read_head(s):
                s.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </%s>\r\n\r\n" % (b"a" * 200) * 3)
                time.sleep(0.01)
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b"c" * 300)
        raw, understudy = self.serve(serve)
        s = self.connect()
        # Pipelined behind a large answer: the socket is about full when the small ones come.
        s.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * 200 + b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        time.sleep(0.3)
        received = 0
        text = b""
        while received < size - 100_000:
            received += len(s.recv(20_000))
            time.sleep(0.0005)
        text = self.read_all(s)
        finals = text.split(b"HTTP/1.1 200 OK\r\n")[1:]
        self.assertEqual(len(finals), 201)
        for part in finals:
            body = part.split(b"\r\n\r\n", 1)[1]
            self.assertEqual(body[:300], b"c" * 300)
            self.assertIn(body[300:309], (b"", b"HTTP/1.1 "))


if __name__ == "__main__":
    unittest.main(verbosity=2)
