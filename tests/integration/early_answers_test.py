"""Both directions at once: answers during an upload, clients that leave while the endpoint thinks; each in clear text and over TLS."""
import re
import socket
import threading
import time
import unittest

from harness import SLOW, Story, certificate, client_tls, free_port, wait_until
from raw_origin import RawOrigin, read_head


class EarlyAnswerTest(Story):
    """Runs each story against a clear listener and a TLS one, in front of a scripted endpoint."""

    def serve(self, handler):
        raw = RawOrigin(handler)
        self.addCleanup(raw.stop)
        cert, key = certificate(self.folder, "localhost")
        config = self.config([raw.address], check="tcp = true", server="workers = 1", pool="passive = { enabled = false }\n")
        self.tls_port = free_port()
        config += '[listen.secure]\naddress = "127.0.0.1:%d"\ntls = [{ certificate = "%s", key = "%s" }]\n' % (self.tls_port, cert, key)
        understudy = self.proxy(config)
        self.await_healthy(understudy, raw.address)
        return understudy

    def open(self, tls):
        return self.connect(self.tls_port if tls else self.port, tls=client_tls() if tls else None)

    def each(self):
        return [self.open(False), self.open(True)]

    def test_an_answer_during_the_upload_arrives_whole_and_the_connection_lingers(self):
        body = b"no, " * 50_000
        def early(s, head):
            s.recv(1000)
            s.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            s.shutdown(socket.SHUT_WR)
            s.settimeout(2)
            try:
                while s.recv(65536):
                    pass
            except OSError:
                pass
        understudy = self.serve(early)
        for s in self.each():
            s.sendall(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n" + b"u" * 20_000)
            time.sleep(0.1)
            sent = 0
            try:                      # the rest of the upload goes on while the answer is on its way
                for _ in range(40):
                    s.sendall(b"u" * 1000)
                    sent += 1000
                    time.sleep(0.001)
            except OSError:
                pass
            status, headers, got = self.read_answer(s)
            self.assertEqual((status, got, headers.get("connection")), (413, body, "close"))
            begin = time.monotonic()
            self.assertEqual(self.read_all(s), b"")        # then the end, soon
            self.assertLess(time.monotonic() - begin, 2.5 * SLOW)

    def test_an_answer_that_begins_during_the_upload_streams_beside_it(self):
        def both_ways(s, head):
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            total = 0
            while total < 2_000_000:
                n = len(s.recv(65536))
                total += n
                s.sendall(b"5\r\n.%04x\r\n" % (n & 0xffff))
            s.sendall(b"4\r\ndone\r\n0\r\n\r\n")
        self.serve(both_ways)
        for s in self.each():
            s.sendall(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n")
            text = b""
            for _ in range(20):
                s.sendall(b"u" * 100_000)
                text += s.recv(65536)                      # something comes back for what was sent
            self.assertIn(b"HTTP/1.1 200 OK", text)
            text += self.read_all(s)
            self.assertTrue(text.endswith(b"done\r\n0\r\n\r\n"), text[-40:])

    def test_an_endpoint_that_answers_and_resets_during_the_upload_is_heard(self):
        def rude(s, head):
            s.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            # Closed with unread bytes: the kernel sends a reset behind the answer.
        understudy = self.serve(rude)
        for s in self.each():
            heard = 0
            for _ in range(10):
                s = self.open(hasattr(s, "version"))
                s.sendall(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b"u" * 1000)
                heard += self.read_answer(s)[0] == 403
            self.assertEqual(heard, 10)

    def test_a_departure_is_noticed_while_the_endpoint_thinks(self):
        gone = []
        def thinks(s, head):
            gone.append(None)
            s.settimeout(10)
            began = time.monotonic()
            try:
                while s.recv(100):
                    pass
            except OSError:
                pass
            gone[-1] = time.monotonic() - began
        understudy = self.serve(thinks)
        for s in self.each():
            for way in ("close", "reset", "half"):
                s = self.open(hasattr(s, "version"))
                gone.clear()
                s.sendall(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
                wait_until(lambda: gone)
                time.sleep(0.05)
                if way == "reset":
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                if way == "half" and hasattr(s, "version"):
                    try:
                        s.settimeout(0.2)
                        s.unwrap()                         # close_notify and nothing else
                    except OSError:
                        pass
                elif way == "half":
                    s.shutdown(socket.SHUT_WR)
                else:
                    s.close()
                wait_until(lambda: gone and gone[-1] is not None, 3)
                self.assertLess(gone[-1], 1.5 * SLOW, way)
        self.assertEqual(understudy.metric("upstream_errors_total", endpoint=understudy.status()["pools"][0]["tiers"][0]["endpoints"][0]["label"]), 0)

    def test_a_pipelined_request_is_no_departure(self):
        def slow(s, head):
            while head:
                time.sleep(0.2)
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + head[5:6])
                head = read_head(s)
        self.serve(slow)
        for s in self.each():
            s.sendall(b"GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(0.05)
            s.sendall(b"GET /2 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            text = self.read_all(s)
            self.assertEqual(re.findall(rb"\r\n\r\n(\d)", text), [b"1", b"2", b"3"])

    def test_expect_is_answered_once_and_an_early_refusal_needs_no_body(self):
        def refuse(s, head):
            while head:
                if b"/no" in head or b"xpect" in head:
                    s.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
                    s.recv(100)
                    return
                s.recv(100)
                s.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                head = read_head(s)
        self.serve(refuse)
        for s in self.each():
            s.sendall(b"POST /yes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(s.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
            s.sendall(b"abc")
            self.assertEqual(self.read_answer(s)[2], b"ok")     # the endpoint's surplus 100 went no further
            s.sendall(b"POST /no HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            text = self.read_all(s)
            self.assertIn(b"HTTP/1.1 401 No", text)
            self.assertIn(b"\r\nConnection: close\r\n", text)   # nobody can say whether the body still comes

    def test_large_fixed_answers_and_a_flood_of_pipelined_requests_harm_nobody(self):
        app = self.origin("app")
        size = 3_000_000
        understudy = self.proxy(self.config([app.address], server="workers = 1", more="""
[[route]]
match = { path = "/80k" }
respond = { status = 200, body = "%s" }
[[route]]
match = { path = "/3m" }
respond = { status = 200, body = "%s" }
[[route]]
match = { path = "/fixed" }
respond = { status = 200, body = "x" }
[[route]]
pool = "app"
""" % ("8" * 80_000, "3" * size)))
        self.await_healthy(understudy, app.address)
        for path, length, times in (("/80k", 80_000, 100), ("/3m", size, 3)):
            s = self.connect()
            s.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode() * times + b"HEAD %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
            time.sleep(0.3)       # does not read at first: the socket is full in the middle of each
            text = bytearray()
            while more := s.recv(1 << 20):
                text += more
            parts = bytes(text).split(b"HTTP/1.1 200 OK\r\n")[1:]
            self.assertEqual([len(p.split(b"\r\n\r\n", 1)[1]) for p in parts], [length] * times + [0])
        stop = threading.Event()
        counts = []

        def flood():
            s = self.connect()
            batch = b"GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
            reader = threading.Thread(target=lambda: counts.append(len(self.read_all(s))), daemon=True)
            reader.start()
            try:
                while not stop.is_set():
                    s.sendall(batch)
            except OSError:
                pass
            reader.join(0.2)
        floods = [threading.Thread(target=flood, daemon=True) for _ in range(2)]
        for f in floods:
            f.start()
        worst = 0
        for _ in range(40):
            begin = time.monotonic()
            self.assertEqual(self.request()[2], b"hello from app")
            worst = max(worst, time.monotonic() - begin)
        stop.set()
        for f in floods:
            f.join(5)
        self.assertLess(worst, 1 * SLOW)


if __name__ == "__main__":
    unittest.main(verbosity=2)
