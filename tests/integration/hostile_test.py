"""The tables of hostile bytes against the running proxy: what the client gets, and what the endpoint gets to see.

The endpoint counts connections and keeps every byte, so "nothing forwarded" is seen, not believed.
"""
import re
import time
import unittest

from harness import Story, wait_until
from raw_origin import Recorder


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

# 40 spellings of an encoding that is not exactly chunked, or is it said in a way that somebody reads otherwise
SPELLINGS = [b"chunked, chunked", b"identity, chunked", b"chunked, gzip", b",chunked", b"chunked,,", b"chunked;q=1", b"chunked; x=y", b"'chunked'",
             b"chunked\x0b", b"chunked\x0c", b"\x0cchunked", b"ch\x00unked", b"chunked\x00", b"chunked\x85", b"\xa0chunked", b"chunke\xc4\x91", b"chunk", b"chunkedd",
             b"x-chunked", b"chunked/1", b"chunked=1", b"[chunked]", b"(chunked)", b"chunked chunked", b"chunked identity", b"identity", b"none", b"0", b"true", b"",
             b" ", b"*", b"chunked,identity,chunked", b"gzip", b"deflate", b"br", b"compress, chunked", b"chunked, deflate", b"cow", b"chunked" + b", chunked" * 500]
REFUSED += [("TE spelled %r" % value[:40], post(b"Transfer-Encoding: " + value + b"\r\n", b"0\r\n\r\n"), (400, 501)) for value in SPELLINGS]

LENGTHS = [b"3,3", b"3, 4", b",3", b"3,", b"3;", b"3 3", b"0x03", b"3h", b"3.0", b"3e0", b"0b11", b"1_000", b"+0", b"-0", b"\xb3", b"'3'", b'"3"', b"three", b"NaN",
           b"9223372036854775808", b"18446744073709551619", b"\x0b3", b"3\x00"]
REFUSED += [("length spelled %r" % value, post(b"Content-Length: " + value + b"\r\n", b"abc"), 400) for value in LENGTHS]

# Every line end of a chunked body, as something that is no line end.
for end in (b"\n", b"\r", b"\n\r", b"\r\r\n"):
    for place, body in (("size", b"3" + end + b"abc\r\n0\r\n\r\n"), ("extension", b"3;x=y" + end + b"abc\r\n0\r\n\r\n"),
                        ("data", b"3\r\nabc" + end + b"0\r\n\r\n"), ("last size", b"3\r\nabc\r\n0" + end + b"\r\n"),
                        ("trailer", b"0\r\nX: y" + end + b"\r\n"), ("end", b"0\r\n" + end)):
        if place == "end" and end == b"\r":
            continue   # half a line end, and nothing yet to say against it
        REFUSED.append(("chunked, %r after %s" % (end, place), post(b"Transfer-Encoding: chunked\r\n", body + b"GET"), 400))
REFUSED += [
    ("LF inside an extension", post(b"Transfer-Encoding: chunked\r\n", b"3;a\nb\r\nabc\r\n0\r\n\r\n"), 400),
    ("a MiB of extension", post(b"Transfer-Encoding: chunked\r\n", b"3;" + b"a" * (1 << 20)), 400),
    ("extensions of 5 KiB in all", post(b"Transfer-Encoding: chunked\r\n", (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 25), 400),
    ("chunk size +3", post(b"Transfer-Encoding: chunked\r\n", b"+3\r\nabc\r\n0\r\n\r\n"), 400),
    ("chunk size 0x3", post(b"Transfer-Encoding: chunked\r\n", b"0x3\r\nabc\r\n0\r\n\r\n"), 400),
    ("no chunk size", post(b"Transfer-Encoding: chunked\r\n", b"\r\nabc\r\n0\r\n\r\n"), 400),
    ("one byte more than its chunk", post(b"Transfer-Encoding: chunked\r\n", b"3\r\nabcd\r\n0\r\n\r\n"), 400),
    ("two bytes between chunks", post(b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\nxx3\r\nabc\r\n0\r\n\r\n"), 400),
    ("a trailer of 9 KiB", post(b"Transfer-Encoding: chunked\r\n", b"0\r\nX: " + b"a" * 9000 + b"\r\n\r\n"), (400, 431)),
    ("two different Host", b"GET / HTTP/1.1\r\nHost: a\r\nHost: evil\r\n\r\n", 400),
    ("Host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("Host with a list", b"GET / HTTP/1.1\r\nHost: a, evil\r\n\r\n", 400),
    ("Host with a user", b"GET / HTTP/1.1\r\nHost: a@evil\r\n\r\n", 400),
    ("control in target", b"GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("tab in target", b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("leading space on the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("obs-fold in Transfer-Encoding", post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"), 400),
    ("CRLF CRLF before the request", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("Expect twice", post(b"Content-Length: 3\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n", b"abc"), 417),
    ("Expect 100-continue, x", post(b"Content-Length: 3\r\nExpect: 100-continue, x\r\n", b"abc"), 417),
    ("Expect without a body", b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", 417),
    ("WebSocket by POST", b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 0\r\n\r\n", 400),
    ("WebSocket in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                              b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 400),
    ("WebSocket with two keys", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 400),
    ("WebSocket with a chunked body", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                      b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
]
# Bare LF, bare CR, NUL and a fold at every line end and inside every part of a head.
PARTS = (b"GET / HTTP/1.1", b"Host: a", b"X-One: one", b"X-Two: two")
for bad in (b"\n", b"\r", b"\0\r\n", b"\r\n "):
    for i in range(len(PARTS)):
        head = b"".join(part + (bad if i == k else b"\r\n") for k, part in enumerate(PARTS)) + b"\r\n"
        REFUSED.append(("%r after %r" % (bad, PARTS[i]), head, 400))
for bad in (b"\n", b"\r", b"\0"):
    for part in PARTS:
        broken = part[:-1] + bad + part[-1:]
        REFUSED.append(("%r inside %r" % (bad, part), b"\r\n".join(broken if p is part else p for p in PARTS) + b"\r\n\r\n", 400))

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
                if cut and len(data) > 120:
                    continue
                with self.subTest(name, cut=cut):
                    before = len(self.recorder.seen)
                    s = self.connect()
                    try:   # whatever follows must never be read as a request
                        for piece in ([data[i:i + 1] for i in range(len(data))] if cut else [data]) + [HIDDEN]:
                            s.sendall(piece)
                    except ConnectionError:
                        pass
                    answer = self.read_all(s)
                    s.close()
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

    def test_bodies_that_end_too_early_are_never_completed_upstream(self):
        whole = post(b"Transfer-Encoding: chunked\r\n", b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n")
        start = whole.index(b"\r\n\r\n") + 4
        cuts = [whole[:n] for n in range(start, len(whole))] + [post(b"Content-Length: 5\r\n", b"hello"[:n]) for n in range(5)]
        for data in cuts:
            s = self.connect()
            s.sendall(data)
            s.close()
        self.assertEqual(self.request()[0], 200)
        time.sleep(0.1)
        self.assertEqual([h for h, _ in self.recorder.seen if not h.startswith(b"GET ")], [])

    def test_the_target_of_a_request_never_chooses_who_is_dialled(self):
        admin = "127.0.0.1:%d" % self.recorder.port
        for target in ("http://169.254.169.254/latest", "http://%s/x" % admin, "//evil/x", "/http://evil/"):
            host = target.split("/")[2] if target.startswith("http") else "a"
            answer = self.raw(b"GET %s HTTP/1.1\r\nHost: %s\r\nX-Forwarded-Host: evil\r\nConnection: close\r\n\r\n" % (target.encode(), host.encode()), timeout=3)
            self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer[:80])   # by the configured endpoint, and nobody else
            self.assertIn(b"\r\nHost: " + host.encode() + b"\r\n", self.recorder.seen[-1][0] + b"\r\n")

    def test_a_refused_upgrade_leaves_no_request_behind(self):
        answer = self.raw(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + HIDDEN, timeout=3)
        self.assertEqual(answer.count(b"HTTP/1.1 200"), 1)
        self.assertNotIn(b"/smuggled", b"".join(h for h, _ in self.recorder.seen))


class LocalAnswerTest(Story):
    """A body is a body whoever answers: what hides in it is never a request (TE.0, CL.0, 0.CL)."""

    def setUp(self):
        super().setUp()
        self.recorder = Recorder()
        self.addCleanup(self.recorder.stop)
        self.understudy = self.proxy(self.config([self.recorder.address], listen='limits = { drain_body_bytes = "16KiB" }\n', more="""
[[route]]
match = { host = "a", path = "/redirect" }
redirect = "https://a{path}"
[[route]]
match = { host = "a", path = "/fixed" }
respond = { status = 200, body = "fixed" }
[[route]]
match = { host = "a", path = "/get", methods = ["GET"] }
pool = "app"
[[route]]
match = { host = "a", path = "/small/*" }
pool = "app"
max_body_bytes = "10B"
"""))
        self.await_healthy(self.understudy, self.recorder.address)

    def test_what_hides_in_the_body_of_a_locally_answered_request_is_never_one(self):
        for target, host, status in ((b"/redirect", b"a", b"308"), (b"/fixed", b"a", b"200"), (b"/none", b"a", b"404"), (b"/get", b"a", b"405"),
                                     (b"/x", b"unknown", b"404"), (b"/%2fx", b"a", b"400"), (b"/small/x", b"a", b"413")):
            for chunked in (False, True):
                for method in (b"POST", b"GET", b"HEAD"):
                    if method != b"POST" and target == b"/get":
                        continue
                    with self.subTest(target, chunked=chunked, method=method):
                        before = len(self.recorder.seen)
                        framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(HIDDEN)
                        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN) if chunked else HIDDEN
                        s = self.connect(timeout=3)
                        s.sendall(method + b" " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + framing + b"\r\n" + body)
                        s.sendall(b"GET /fixed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        answers = re.findall(rb"HTTP/1\.1 (\d{3}) ", self.read_all(s))
                        s.close()
                        # The body was drained and the next request served, or the connection closed: one or the other.
                        self.assertIn(answers, ([status, b"200"], [status]))
                        self.assertEqual(self.recorder.seen[before:], [])

    def test_a_body_above_the_drain_closes_and_is_counted(self):
        s = self.connect(timeout=3)
        s.sendall(b"POST /fixed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(40):
                s.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
            s.sendall(b"0\r\n\r\n" + HIDDEN)
        except ConnectionError:
            pass
        self.assertEqual(self.read_all(s).count(b"HTTP/1.1 "), 1)
        self.assertEqual(self.understudy.metric("limit_hits_total", limit="drain_body_bytes"), 1)

    def test_a_body_larger_than_allowed_is_refused_whether_announced_or_not(self):
        for framing, body in ((b"Content-Length: 11\r\n", b""), (b"Transfer-Encoding: chunked\r\n", b"b\r\nhello world\r\n0\r\n\r\n")):
            answer = self.raw(b"POST /small/x HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n" + body, timeout=3)
            self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer[:60])
        self.assertEqual(self.recorder.seen, [])
        self.assertEqual(self.understudy.metric("limit_hits_total", limit="max_body_bytes"), 2)

    def test_line_ends_of_a_path_stay_encoded_in_a_redirect(self):
        answer = self.raw(b"GET /redirect?%0d%0aX:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", timeout=3)
        self.assertNotIn(b"\nX:1", answer)
        status, headers, _ = self.request(path="/none", headers={"Host": "a"}, method="GET")
        self.assertEqual(status, 404)
        self.assertEqual(self.request("POST", "/get", headers={"Host": "a"})[1]["allow"], "GET")


if __name__ == "__main__":
    unittest.main(verbosity=2)
