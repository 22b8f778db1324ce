"""Every answer belongs to its request: thousands of mixed ones with aborts, early answers, cuts and reused connections, each with a token
that must come back. And what clients do wrong never counts against an endpoint.
"""
import random
import re
import socket
import threading
import time
import unittest

from harness import SLOW, Story, certificate, client_tls, free_port, wait_until
from raw_origin import RawOrigin, read_head


def read_body(s, head):
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    if length:
        left = int(length.group(1))
        while left:
            data = s.recv(min(left, 65536))
            if not data:
                return False
            left -= len(data)
        return True
    if re.search(rb"\r\ntransfer-encoding: *chunked", head, re.I):
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            more = s.recv(65536)
            if not more:
                return False
            data = (data + more)[-5:]
    return True


class TokenOrigin:
    """Answers in the way the path asks for, with the request's token in head and body; several requests a connection."""

    def __call__(self, s, head):
        while head:
            kind = head.split(b" ")[1].split(b"?")[0]
            token = re.search(rb"X-Token: (\w+)", head).group(1)
            if kind == b"/early":
                s.sendall(b"HTTP/1.1 200 OK\r\nX-Token: %s\r\nContent-Length: %d\r\n\r\n%s" % (token, len(token), token))
                return
            if not read_body(s, head):
                return
            body = token * (1 if kind != b"/large" else 20_000)
            if kind == b"/chunked":
                half = len(body) // 2
                s.sendall(b"HTTP/1.1 200 OK\r\nX-Token: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (token, half, body[:half]))
                s.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) - half, body[half:]))
            elif kind == b"/cut":
                s.sendall(b"HTTP/1.1 200 OK\r\nX-Token: %s\r\nContent-Length: 999\r\n\r\n%s" % (token, body))
                return
            elif kind == b"/drop":
                return
            elif kind == b"/surplus":
                s.sendall(b"HTTP/1.1 200 OK\r\nX-Token: %s\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nX-Token: poison\r\nContent-Length: 6\r\n\r\npoison"
                          % (token, len(body), body))
            else:
                if kind == b"/slow":
                    time.sleep(0.03)
                s.sendall(b"HTTP/1.1 200 OK\r\nX-Token: %s\r\nContent-Length: %d\r\n\r\n%s" % (token, len(body), body))
            head = read_head(s)


class DesyncTest(Story):
    def test_tokens_always_match(self):
        raws = [RawOrigin(TokenOrigin()) for _ in range(2)]
        for raw in raws:
            self.addCleanup(raw.stop)
        cert, key = certificate(self.folder, "localhost")
        tls_port = free_port()
        understudy = self.proxy(self.config([r.address for r in raws], check="tcp = true", pool="passive = { enabled = false }\n",
                                            more='[listen.secure]\naddress = "127.0.0.1:%d"\ntls = [{ certificate = "%s", key = "%s" }]\n' % (tls_port, cert, key)))
        self.await_healthy(understudy, *[r.address for r in raws])
        problems = []
        done = [0]

        def client(seed, count):
            r = random.Random(seed)
            tls = client_tls() if seed % 3 == 0 else None
            s = None
            for n in range(count):
                token = b"t%dx%dz" % (seed, n)
                kind = r.choice([b"/plain"] * 6 + [b"/large", b"/chunked", b"/slow", b"/early", b"/cut", b"/drop", b"/surplus"])
                body = r.choice([b"", b"", b"b" * 10, b"B" * 30_000])
                method = b"POST" if body or kind in (b"/early", b"/drop") else b"GET"
                framing = b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                if body and r.random() < 0.5:
                    framing = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
                abort = r.random() < 0.08
                try:
                    if s is None:
                        s = self.connect(tls_port if tls else None, tls=tls)
                    data = method + b" " + kind + b"?" + token + b" HTTP/1.1\r\nHost: localhost\r\nX-Token: " + token + b"\r\n" + framing
                    if abort:
                        s.sendall(data[:r.randrange(len(data)) + 1])
                        if r.random() < 0.5:
                            s.settimeout(0.02)
                            s.recv(10)
                        s.close()
                        s = None
                        continue
                    s.sendall(data)
                    status, headers, got = self.read_answer(s)
                    if status == 200 and (headers.get("x-token") != token.decode() or got.replace(token, b"") != b""):
                        problems.append((kind, token, headers, got[:80]))
                    if status not in (200, 502):
                        problems.append((kind, token, status))
                    if headers.get("connection") == "close":
                        s.close()
                        s = None
                except Exception as e:           # cut answers, resets: the end of this connection and of nothing else
                    if kind == b"/plain" and not abort and s is not None and isinstance(e, (socket.timeout, TimeoutError)):
                        problems.append((kind, token, repr(e)))
                    if s is not None:
                        s.close()
                    s = None
                done[0] += 1
            if s is not None:
                s.close()

        threads = [threading.Thread(target=client, args=(seed, 400), daemon=True) for seed in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60 * SLOW)
        self.assertEqual(problems, [])
        self.assertGreater(done[0], 2500)
        wait_until(lambda: understudy.metric("connections") == 0, 5)
        self.assertEqual(understudy.metric("endpoint_in_flight"), 0)

    def test_what_clients_do_wrong_never_counts_against_an_endpoint(self):
        app = self.origin("app")
        understudy = self.proxy(self.config([app.address], pool="passive = { consecutive = 1 }\n", more='[limits]\nbody_timeout = "200ms"\n'))
        self.await_healthy(understudy, app.address)
        for _ in range(20):
            for data in (b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
                         b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz", b"GET /bytes?n=10000000 HTTP/1.1\r\nHost: a\r\n\r\n",
                         b"GET /status/404 HTTP/1.1\r\nHost: a\r\n\r\n"):
                s = self.connect()
                s.sendall(data)
                s.close()
        half = self.connect()
        half.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        self.assertTrue(self.read_all(half).startswith(b"HTTP/1.1 408"))
        self.assertEqual(self.request()[2], b"hello from app")
        self.assertEqual(understudy.metric("upstream_errors_total", endpoint=app.address), 0)
        self.assertEqual(understudy.events("endpoint_ejected"), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
