"""What is forwarded, read by a parser that others wrote (python3-h11): one request in, the same one out, and nothing behind it.

A few hundred shapes of requests are made from a fixed seed. Whatever the proxy lets through must be valid to h11 and mean what was sent;
whatever h11 finds invalid must not have been let through.
"""
import random
import unittest

from harness import Story
from raw_origin import Endpoint

try:
    import h11
except ImportError:   # a development package of the tests (deploy/packages.txt)
    h11 = None


class Second(Endpoint):
    """Its only understanding of HTTP is h11's; keeps (method, target, headers, body, trailers) or the error."""

    def __init__(self):
        self.seen = []
        self.faults = []
        super().__init__()

    def talk(self, s):
        parser = h11.Connection(h11.SERVER)
        try:
            while self.one(s, parser):
                parser.start_next_cycle()
        except h11.RemoteProtocolError as e:
            self.faults.append((str(e), parser.trailing_data))

    def one(self, s, parser):
        request, body = None, b""
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = s.recv(65536)
                if not data and request is not None:
                    return False   # cut by the proxy: never complete
                parser.receive_data(data)
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                if request.target != b"/healthz":
                    self.seen.append((request.method, request.target, list(request.headers), body, list(event.headers)))
                s.sendall(parser.send(h11.Response(status_code=200, headers=[("Content-Length", "2")])))
                s.sendall(parser.send(h11.Data(data=b"ok")) + (parser.send(h11.EndOfMessage()) or b""))
                return parser.our_state is h11.DONE and parser.their_state is h11.DONE
            else:
                return False   # ConnectionClosed


def shapes(count, seed=20261126):
    """(bytes of one request, method, target, body) with honest and odd forms mixed."""
    r = random.Random(seed)
    pick = r.choice
    for n in range(count):
        method = pick([b"GET", b"GET", b"POST", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"BREW", b"get"])
        path = b"/r%d" % n + pick([b"", b"/", b"?", b"?a=b&c", b"?%0d%0aX:1", b"/%41;v=1", b"/a/../b", b"/~!$&'()*+,;=:@", b"/" + b"x" * 3000, b"?http://evil/",
                                  b"#frag", b"/\xff", b" x", b"/%"])
        absolute = pick([False] * 5 + [True])
        lines = [pick([b"Host: site", b"host:site", b"HOST: \t site \t", b"Host: site", b"Host: site:80", b"Host: other"])]
        body = r.randbytes(pick([0, 1, 5, 100, 70000])) if pick([0, 1]) else b""
        framed = b""
        kind = pick(["none", "length", "chunked", "chunked", "odd"])
        if kind == "none":
            body = b""
        elif kind == "length":
            lines.append(pick([b"Content-Length: %d", b"content-length:%d", b"Content-Length: 00%d", b"Content-Length: %d ", b"Content-Length: +%d"]) % len(body))
            framed = body
        elif kind == "chunked":
            lines.append(pick([b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED", b"Transfer-Encoding: \tchunked\t", b"Transfer-Encoding: chunked"]))
            left = body
            while left:
                size = r.randint(1, max(1, min(len(left), pick([1, 7, 4096, 70000]))))
                framed += pick([b"%x", b"%X", b"0%x", b"%x;a=b", b'%x;q="x y"']) % size + b"\r\n" + left[:size] + b"\r\n"
                left = left[size:]
                if len(framed) > 200000:
                    break
            body = body[:len(body) - len(left)]
            framed += pick([b"0\r\n\r\n", b"000\r\n\r\n", b"0;x\r\n\r\n", b"0\r\nX-Trailer: 1\r\nHost: evil\r\n\r\n"])
        else:
            lines += pick([[b"Content-Length: 3", b"Content-Length: 3"], [b"Content-Length: 3", b"Transfer-Encoding: chunked"], [b"Transfer-Encoding: xchunked"],
                           [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"], [b"Content-Length: 3, 3"], [b"Transfer-Encoding : chunked"],
                           [b"Content-Length: 0x3"], [b"Transfer-Encoding: gzip, chunked"]])
            framed, body = b"0\r\n\r\n", None
        for _ in range(r.randint(0, 6)):
            lines.insert(r.randint(0, len(lines)), pick([
                b"X-A: b", b"X-Empty:", b"x-tab:\tv\tw\t", b"X-Latin: \xe9\xff", b"X_Under: 1", b"X.Dot: 1", b"Accept: */*", b"Cookie: a=b; c=d", b"TE: trailers",
                b"Connection: close, X-A", b"Connection: keep-alive", b"Keep-Alive: 5", b"Proxy-Connection: x", b"Upgrade: h2c", b"Trailer: X-Trailer", b"Expect: 100-continue",
                b"X-Forwarded-For: 6.6.6.6", b"Forwarded: for=6.6.6.6", b"X-Request-Id: forged", b"traceparent: bad", b"X: a\0b", b"X: a\rb", b"X : a", b": empty", b" folded",
                b"X-Bare: a\n Content-Length: 5", b"X-Long: " + b"l" * 2000]))
        target = (b"http://site" if absolute else b"") + path
        version = pick([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/1.2"])
        end = pick([b"\r\n"] * 12 + [b"\n"])
        yield end.join([method + b" " + target + b" " + version] + lines) + end + end + framed, method, path, body


@unittest.skipIf(h11 is None, "python3-h11 is not installed")
class FramingOracleTest(Story):
    def test_another_parser_reads_what_was_sent_and_nothing_else(self):
        second = Second()
        self.addCleanup(second.stop)
        understudy = self.proxy(self.config([second.address], pool="retry = { max = 0 }\npassive = { enabled = false }\n"))
        self.await_healthy(understudy, second.address)
        passed = refused = 0
        for number, (data, method, path, body) in enumerate(shapes(600)):
            before = len(second.seen)
            s = self.connect(timeout=5)
            try:
                s.sendall(data)
            except ConnectionError:
                pass
            answer = b""
            while b"\r\n\r\n" not in answer or answer.startswith(b"HTTP/1.1 100"):
                try:
                    more = s.recv(65536)
                except ConnectionError:
                    break
                if not more:
                    break
                answer += more
                if answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
                    answer = answer[25:]
            s.close()
            status = int(answer[9:12])
            seen = second.seen[before:]
            with self.subTest(number=number, data=data[:300]):
                self.assertEqual(second.faults, [])
                if status == 200:
                    passed += 1
                    self.assertEqual(len(seen), 1, "one in, one out")
                    got_method, got_target, headers, got_body, trailers = seen[0]
                    self.assertEqual((got_method, got_target), (method, path))
                    self.assertIsNotNone(body, "an odd framing was let through")
                    self.assertEqual(got_body, body)
                    self.assertEqual(trailers, [])
                    names = [name for name, _ in headers]
                    self.assertEqual(names.count(b"host"), 1)
                    self.assertLessEqual(names.count(b"content-length") + names.count(b"transfer-encoding"), 1)
                    for name in (b"connection", b"te", b"upgrade", b"keep-alive", b"proxy-connection", b"expect", b"trailer", b"forwarded", b"x_under", b"x.dot"):
                        self.assertNotIn(name, names)
                    self.assertNotIn(b"6.6.6.6", b"".join(v for _, v in headers))
                    self.assertNotIn((b"x-request-id", b"forged"), headers)
                else:
                    refused += 1
                    self.assertIn(status, (400, 405, 417, 431, 501, 505))
                    self.assertEqual(seen, [])
        self.assertGreater(passed, 100)
        self.assertGreater(refused, 100)


if __name__ == "__main__":
    unittest.main(verbosity=2)
