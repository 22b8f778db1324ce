"""WebSocket tunnels byte by byte: validation on both sides, half-close, idle end, Close on a stop, accounts, and bulk that nobody loses."""
import base64
import hashlib
import json
import os
import signal
import socket
import threading
import time
import unittest

from harness import SLOW, Story, certificate, client_tls, wait_until
from raw_origin import RawOrigin, read_head

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def opening(path=b"/ws", more=b""):
    return (b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: " + KEY + b"\r\n" + more + b"\r\n")


def switched(more=b"", accept=accept_of(KEY), upgrade=b"Upgrade: websocket\r\n", connection=b"Connection: Upgrade\r\n"):
    return b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade + connection + b"Sec-WebSocket-Accept: " + accept + b"\r\n" + more + b"\r\n"


def open_tunnel(story, tls=None):
    """A socket on which the upgrade has been answered; nothing behind the head is read."""
    s = story.connect(tls=tls)
    s.sendall(opening())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += s.recv(1)
    story.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
    return s


class TunnelTest(Story):
    def serve(self, handler, more="", listen="", **options):
        raw = RawOrigin(handler)
        self.addCleanup(raw.stop)
        understudy = self.proxy(self.config([raw.address], check="tcp = true", listen=listen, server="workers = 1", pool="passive = { enabled = false }\n",
                                            more='[log]\naccess = { format = "json", path = "%s" }\n' % self.path("access.log") + more, **options))
        self.await_healthy(understudy, raw.address)
        return understudy

    tunnel = open_tunnel

    def line(self):
        def written():
            with open(self.path("access.log")) as f:
                return [json.loads(l) for l in f if l.endswith("\n")]
        return wait_until(written)[-1]

    def exactly(self, s, n):
        out = b""
        while len(out) < n:
            more = s.recv(n - len(out))
            if not more:
                break
            out += more
        return out

    def test_only_a_correct_101_opens_a_tunnel(self):
        answers = {
            b"/accept": switched(accept=accept_of(KEY[:-3] + b"A==")), b"/no-upgrade": switched(upgrade=b""), b"/h2c": switched(upgrade=b"Upgrade: h2c\r\n"),
            b"/no-connection": switched(connection=b""), b"/protocol": switched(b"Sec-WebSocket-Protocol: unasked\r\n"),
            b"/two": switched(b"Sec-WebSocket-Accept: " + accept_of(KEY) + b"\r\n"),
            b"/1.0": switched().replace(b"HTTP/1.1", b"HTTP/1.0"), b"/two-upgrades": switched(b"Upgrade: h2c\r\n"),
        }
        asked = []
        def serve(s, head):
            asked.append(head)
            s.sendall(answers.get(head.split(b" ")[1], switched()))
            time.sleep(0.2)
            s.sendall(b"leaked")
        understudy = self.serve(serve)
        for path in answers:
            with self.subTest(path):
                text = self.raw(opening(path) + b"early bytes", timeout=5)
                self.assertTrue(text.startswith(b"HTTP/1.1 502 "), text[:80])
                self.assertNotIn(b"leaked", text)
        for head in asked:      # rebuilt, with exactly what an upgrade needs
            self.assertEqual(head.count(b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"), 1)
            self.assertEqual(head.count(b"Sec-WebSocket-Key: " + KEY), 1)
        self.assertEqual(understudy.metric("websocket_sessions_opened_total"), 0)

    def test_bytes_behind_the_opening_wait_for_the_101(self):
        seen = []
        def slow(s, head):
            s.settimeout(0.3)
            try:
                seen.append(s.recv(100))
            except (socket.timeout, TimeoutError):
                seen.append(b"nothing")
            s.settimeout(5)
            s.sendall(switched() + b"\x81\x02hi")
            seen.append(self.exactly(s, 8))
            s.sendall(b"\x81\x03bye")
        self.serve(slow)
        s = self.connect()
        s.sendall(opening() + b"\x81\x82\0\0\0\0ok")
        text = b""
        while not text.endswith(b"bye"):
            text += s.recv(1000)
        self.assertEqual(seen, [b"nothing", b"\x81\x82\0\0\0\0ok"])
        self.assertIn(b"\r\n\r\n\x81\x02hi\x81\x03bye", text)

    def test_half_close_lets_the_other_direction_go_on_and_bytes_are_counted(self):
        def serve(s, head):
            s.sendall(switched())
            got = b""
            while True:
                more = s.recv(65536)
                if not more:
                    break
                got += more
            s.sendall(b"%d bytes, and a last word" % len(got))     # after the client's end
        understudy = self.serve(serve)
        s = self.tunnel()
        s.sendall(b"x" * 5000)
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(self.read_all(s), b"5000 bytes, and a last word")
        line = self.line()
        self.assertEqual(line["status"], 101)
        self.assertGreaterEqual(line["bytes_in"], 5000)
        self.assertGreaterEqual(line["bytes_out"], 27)
        self.assertEqual(line["term"], "tunnel_closed")
        self.assertEqual(understudy.metric("websocket_sessions_opened_total"), 1)
        self.assertEqual(understudy.metric("websocket_sessions_closed_total"), 1)

    def test_the_other_half_too_and_over_tls(self):
        def serve(s, head):
            s.sendall(switched() + b"bye")
            s.shutdown(socket.SHUT_WR)
            got = b""
            while len(got) < 4:
                got += s.recv(100)
            done.append(got)
        done = []
        cert, key = certificate(self.folder, "localhost")
        self.serve(serve, listen='tls = [{ certificate = "%s", key = "%s" }]\n' % (cert, key))
        s = self.tunnel(client_tls())
        self.assertEqual(self.exactly(s, 3), b"bye")
        s.sendall(b"last")
        wait_until(lambda: done == [b"last"])

    def test_a_silent_tunnel_ends_with_a_close_frame_when_its_time_is_over(self):
        def serve(s, head):
            s.sendall(switched() + b"\x81\x01a")
            heard.append(self.exactly(s, 8))
        heard = []
        understudy = self.serve(serve, more='[[route]]\npool = "app"\nwebsocket = { idle_timeout = "1s" }\n')
        s = self.tunnel()
        self.assertEqual(self.exactly(s, 3), b"\x81\x01a")
        begin = time.monotonic()
        self.assertEqual(self.exactly(s, 4), b"\x88\x02\x03\xe9")      # 1001
        took = time.monotonic() - begin
        self.assertGreater(took, 0.9)
        self.assertLess(took, 1.1 * SLOW)
        s.sendall(b"\x88\x82\0\0\0\0\x03\xe9")
        begin = time.monotonic()
        self.assertEqual(self.read_all(s), b"")
        self.assertLess(time.monotonic() - begin, 1)                   # answered: no reason to wait any longer
        wait_until(lambda: heard)
        self.assertEqual(heard, [b"\x88\x82\0\0\0\0\x03\xe9"])         # masked towards the endpoint
        self.assertEqual(self.line()["term"], "tunnel_idle")
        self.assertEqual(understudy.metric("websocket_sessions_closed_total", reason="idle"), 1)

    def test_a_close_frame_is_never_placed_inside_a_frame(self):
        def serve(s, head):
            s.sendall(switched() + b"\x82\x7e\x01\x00" + b"p" * 100)   # 156 bytes of it are missing
            time.sleep(6)
        understudy = self.serve(serve)
        s = self.tunnel()
        self.assertEqual(self.exactly(s, 104), b"\x82\x7e\x01\x00" + b"p" * 100)
        understudy.signal(signal.SIGTERM)
        self.assertEqual(self.read_all(s), b"")                        # cut, but no byte of a Close among the payload

    def test_a_flood_that_came_while_the_proxy_was_stopped_goes_through_to_its_end(self):
        size = 24 << 20
        def serve(s, head):
            s.sendall(switched())
            left = size
            digest = hashlib.sha256()
            while left:
                data = s.recv(1 << 20)
                digest.update(data)
                left -= len(data)
            s.sendall(digest.digest())
        understudy = self.serve(serve)
        data = os.urandom(1 << 20) * 24
        for _ in range(3):
            s = self.tunnel()
            thread = threading.Thread(target=s.sendall, args=(data,), daemon=True)
            thread.start()
            for _ in range(6):
                understudy.signal(signal.SIGSTOP)
                time.sleep(0.03)
                understudy.signal(signal.SIGCONT)
                time.sleep(0.005)
            self.assertEqual(self.exactly(s, 32), hashlib.sha256(data).digest())
            thread.join(5)
            s.close()

    def test_where_websockets_are_forbidden_or_refused_the_answer_is_an_ordinary_one(self):
        def serve(s, head):
            s.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
            read_head(s)
        self.serve(serve, more='[[route]]\nmatch = { path = "/forbidden" }\npool = "app"\nwebsocket = false\n[[route]]\npool = "app"\n')
        self.assertTrue(self.raw(opening(b"/forbidden"), timeout=3).startswith(b"HTTP/1.1 403 "))
        text = self.raw(opening(b"/ws"), timeout=3)
        self.assertTrue(text.startswith(b"HTTP/1.1 401 No"))
        self.assertIn(b"\r\nConnection: close\r\n", text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
