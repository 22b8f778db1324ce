"""The tables of hostile bytes against the running proxy: what the client gets, and what the endpoint gets to see.

The endpoint counts connections and keeps every byte, so "nothing forwarded" is seen, not believed.
"""
import re
import socket
import threading
import time
import unittest

from harness import Story, wait_until

CHUNK_END = b"\r\n\r\n"


class Recorder(threading.Thread):
    """An endpoint that keeps what it is sent and answers each request head with 200 and its own number."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.seen = []
        self.start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with s:
            data = b""
            while True:
                try:
                    more = s.recv(65536)
                except OSError:
                    return
                if not more:
                    return
                data += more
                while b"\r\n\r\n" in data:
                    head, _, rest = data.partition(b"\r\n\r\n")
                    length = re.search(rb"content-length: *(\d+)", head, re.I)
                    if re.search(rb"transfer-encoding: *chunked", head, re.I):
                        if b"0\r\n\r\n" not in rest:
                            break
                        body, _, rest = rest.partition(b"0\r\n\r\n")
                    elif length:
                        n = int(length.group(1))
                        if len(rest) < n:
                            break
                        body, rest = rest[:n], rest[n:]
                    else:
                        body = b""
                    data = rest
                    if b"/healthz" not in head.split(b"\r\n")[0]:
                        self.seen.append((head, body))
                    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def stop(self):
        self.listener.close()


def post(fields, body=b"", version=b"1.1", target=b"/x"):
    return b"POST " + target + b" HTTP/" + version + b"\r\nHost: a\r\n" + fields + b"\r\n" + body


# name, bytes, status
REFUSED = [
    ("CL and TE chunked", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    ("TE chunked and CL", post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"), 400),
    ("TE gzip and CL", post(b"Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", b"hello"), (400, 501)),
    ("TE gzip, chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    ("TE xchunked", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 400),
    ("TE chunked, identity", post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"), 400),
    ("TE twice chunked", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    ("TE with tab and VT", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400),
    ("TE quoted", post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"), 400),
    ("TE trailing comma", post(b"Transfer-Encoding: chunked,\r\n", b"0\r\n\r\n"), 400),
    ("TE in HTTP/1.0", post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"1.0"), 400),
    ("TE with space before colon", post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), 400),
    ("obs-fold", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    ("duplicate equal CL", post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"), 400),
    ("differing CL", post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abc"), 400),
    ("CL 3, 3", post(b"Content-Length: 3, 3\r\n", b"abc"), 400),
    ("CL +3", post(b"Content-Length: +3\r\n", b"abc"), 400),
    ("CL -3", post(b"Content-Length: -3\r\n", b"abc"), 400),
    ("CL 0x3", post(b"Content-Length: 0x3\r\n", b"abc"), 400),
    ("CL empty", post(b"Content-Length:\r\n", b""), 400),
    ("CL overflow", post(b"Content-Length: 99999999999999999999\r\n", b""), 400),
    ("bare LF line ends", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("bare CR in value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
    ("NUL in value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    ("TERM.EXT", post(b"Transfer-Encoding: chunked\r\n", b"3;\nxx\r\nabc\r\n0\r\n\r\n"), 400),
    ("bare LF after chunk size", post(b"Transfer-Encoding: chunked\r\n", b"3\nabc\r\n0\r\n\r\n"), 400),
    ("space in chunk size", post(b"Transfer-Encoding: chunked\r\n", b"3 \r\nabc\r\n0\r\n\r\n"), 400),
    ("missing CRLF after chunk data", post(b"Transfer-Encoding: chunked\r\n", b"3\r\nabc0\r\n\r\n"), 400),
    ("17 digits of chunk size", post(b"Transfer-Encoding: chunked\r\n", b"00000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
    ("huge chunk size", post(b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\nabc"), 400),
    ("chunk extension of 300 bytes", post(b"Transfer-Encoding: chunked\r\n", b"3;" + b"a" * 300 + b"\r\nabc\r\n0\r\n\r\n"), 400),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two Host", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("absolute-form against Host", b"GET http://evil/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("absolute-form to a metadata address", b"GET http://169.254.169.254/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("# in target", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("raw 0xFF in target", b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("space in target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("empty field name", b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400),
    ("space in field name", b"GET / HTTP/1.1\r\nHost: a\r\nX Y: x\r\n\r\n", 400),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", (400, 505)),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100, 400),
    ("Upgrade with a body", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("WebSocket version 8", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
                            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 400),
    ("WebSocket short key", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                            b"Sec-WebSocket-Key: c2hvcnQ=\r\n\r\n", 400),
    ("Expect y 100-continue", post(b"Content-Length: 3\r\nExpect: y 100-continue\r\n", b"abc"), 417),
    ("TRACE", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
    ("17 KiB of head", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 17000 + b"\r\n\r\n", 431),
    ("101 fields", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 101 + b"\r\n", 431),
    ("9 KiB of URI", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("no HTTP at all", b"SSH-2.0-OpenSSH_9.2\r\n", 400),
]

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


class HostileRequestTest(Story):
    def setUp(self):
        super().setUp()
        self.recorder = Recorder()
        self.addCleanup(self.recorder.stop)
        self.understudy = self.proxy(self.config(["127.0.0.1:%d" % self.recorder.port]))
        self.await_healthy(self.understudy, "127.0.0.1:%d" % self.recorder.port)

    def test_every_refused_row_is_answered_closed_and_not_forwarded(self):
        for name, data, status in REFUSED:
            for cut in (None, 1):   # whole, and byte by byte for the short ones
                if cut and len(data) > 400:
                    continue
                with self.subTest(name, cut=cut):
                    before = len(self.recorder.seen)
                    s = self.connect()
                    if cut:
                        for i in range(len(data)):
                            try:
                                s.sendall(data[i:i + 1])
                            except ConnectionError:
                                break
                    else:
                        s.sendall(data)
                    try:
                        s.sendall(HIDDEN)   # whatever follows must never be read as a request
                    except ConnectionError:
                        pass
                    answer = self.read_all(s)
                    code = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else None
                    self.assertIn(code, status if isinstance(status, tuple) else (status,), answer[:200])
                    self.assertEqual(len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)), 1, "one answer and then the end")
                    self.assertIn(b"\r\nConnection: close\r\n", answer)
                    complete = [h for h, _ in self.recorder.seen[before:]]
                    self.assertEqual(complete, [])

    def test_what_is_accepted_reaches_the_endpoint_in_one_clean_form(self):
        def forwarded(data):
            before = len(self.recorder.seen)
            s = self.connect()
            s.sendall(data)
            self.assertEqual(self.read_answer(s)[0], 200)
            wait_until(lambda: len(self.recorder.seen) > before)
            return self.recorder.seen[before]
        head, body = forwarded(post(b"Content-Length: 003\r\n", b"abc"))
        self.assertIn(b"\r\nContent-Length: 3", head)
        head, _ = forwarded(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Real\r\nX-Real: 1\r\n\r\n")
        self.assertNotIn(b"X-Real:", head)
        self.assertNotIn(b"Connection", head)
        head, _ = forwarded(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
        self.assertNotIn(b"h2c", head)
        self.assertNotIn(b"HTTP2-Settings", head)
        head, _ = forwarded(b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1.2.3.4\r\n\r\n")
        self.assertNotIn(b"1.2.3.4", head)
        head, _ = forwarded(b"GET /?a=%0d%0aX:1 HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(head.startswith(b"GET /?a=%0d%0aX:1 HTTP/1.1\r\n"))
        head, _ = forwarded(post(b"Transfer-Encoding: chunked\r\n", b"3;a=b\r\nabc\r\n0\r\nX-Admin: 1\r\nHost: evil\r\n\r\n"))
        self.assertNotIn(b"X-Admin", head)
        self.assertEqual(head.count(b"\r\nHost:"), 1)
        head, _ = forwarded(b"GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(head.startswith(b"GET /x?y HTTP/1.1\r\n"))

    def test_slow_heads_are_ended_and_a_bystander_is_served(self):
        self.understudy.write(self.config(["127.0.0.1:%d" % self.recorder.port], more='[limits]\nheader_timeout = "1s"\n'))
        self.understudy.cli("reload")
        slow = [self.connect() for _ in range(100)]
        for s in slow:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-")
        worst = 0
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            begin = time.monotonic()
            self.assertEqual(self.request()[0], 200)
            worst = max(worst, time.monotonic() - begin)
            time.sleep(0.02)
        self.assertLess(worst, 1)
        for s in slow:
            answer = self.read_all(s)
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer[:60])
        self.assertEqual(self.understudy.metric("limit_hits_total", limit="header_timeout"), 100)


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
                self.assertFalse(answer.endswith(b"0\r\n\r\n"))
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
