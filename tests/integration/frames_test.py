"""Rules for tunnels, byte by byte: invalid framing and large messages on routes that ask, pings of the proxy, lifetime, and the account of each."""
import socket
import struct
import time

import unittest

from harness import SLOW, Story, wait_until
from raw_origin import RawOrigin
from tunnel_test import open_tunnel, opening, switched


def frame(opcode, payload=b"", masked=False, fin=True):
    size = len(payload)
    mask = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    head += bytes([mask | size]) if size < 126 else bytes([mask | 126]) + struct.pack(">H", size) if size < 65536 else bytes([mask | 127]) + struct.pack(">Q", size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def close(code, masked=False):
    return frame(8, struct.pack(">H", code), masked)


class FramesTest(Story):
    def serve(self, websocket, handler=None):
        self.heard = []
        def echo(s, head):
            s.sendall(switched())
            if handler:
                handler(s)
            while True:
                data = s.recv(65536)
                if not data:
                    return
                self.heard.append(data)
        raw = RawOrigin(echo)
        self.addCleanup(raw.stop)
        understudy = self.proxy(self.config([raw.address], check="tcp = true", server="workers = 1", pool="passive = { enabled = false }\n", more="""
[log]
access = { format = "json", path = "%s" }
[[route]]
pool = "app"
websocket = %s
""" % (self.path("access.log"), websocket)))
        self.await_healthy(understudy, raw.address)
        return understudy

    tunnel = open_tunnel

    def all_heard(self):
        return b"".join(self.heard)

    def line(self):
        def written():
            return self.access_lines(self.path("access.log"))
        return wait_until(written)[-1]

    def test_invalid_framing_ends_a_strict_tunnel_with_1002_and_nothing_of_it_gets_through(self):
        understudy = self.serve("{ strict = true }")
        bad = {"mask": frame(1, b"unmasked"), "opcode": frame(5, b"what", True), "reserved_bits": b"\xc1\x80\0\0\0\0",
               "continuation": frame(0, b"of nothing", True), "control_length": frame(9, b"x" * 126, True),
               "message_interrupted": frame(1, b"one", True, fin=False) + frame(1, b"two", True),
               "length": b"\x81\xfe\x00\x05\0\0\0\0short"}
        for error, data in bad.items():
            with self.subTest(error):
                self.heard.clear()
                s = self.tunnel()
                s.sendall(frame(1, b"fine", True))
                wait_until(lambda: self.all_heard() == frame(1, b"fine", True))
                if error == "opcode":                       # its header in two pieces
                    s.sendall(data[:1])
                    time.sleep(0.05)
                    data = data[1:]
                s.sendall(data)
                self.assertEqual(self.read_all(s), close(1002))
                good = frame(1, b"one", True, fin=False) if error == "message_interrupted" else b""
                wait_until(lambda: self.all_heard() == frame(1, b"fine", True) + good + close(1002, True))
                wait_until(lambda: understudy.metric("websocket_frame_errors_total", **{"from": "client", "error": error}) == 1)
        wait_until(lambda: understudy.metric("websocket_sessions_closed_total", reason="protocol_error") == len(bad))
        line = self.line()
        self.assertEqual((line["tunnel_end"], line["closed_by"], line["close_code"]), ("protocol_error", "proxy", 1002))

    def test_an_endpoint_that_masks_is_told_so_on_a_strict_route_and_only_counted_on_another(self):
        understudy = self.serve("{ strict = true }", lambda s: s.sendall(frame(1, b"masked", True)))
        s = self.tunnel()
        self.assertEqual(self.read_all(s), close(1002))
        wait_until(lambda: self.all_heard() == close(1002, True))
        self.assertEqual(understudy.metric("websocket_frame_errors_total", **{"from": "endpoint", "error": "mask"}), 1)
        understudy.write(open(understudy.path).read().replace("{ strict = true }", "true"))
        understudy.cli("reload")
        s = self.tunnel()
        data = frame(1, b"masked", True)
        self.assertEqual(s.recv(len(data), socket.MSG_WAITALL), data)
        wait_until(lambda: understudy.metric("websocket_frame_errors_total", **{"from": "endpoint", "error": "mask"}) == 2)

    def test_a_message_above_the_limit_ends_with_1009_before_its_frame_is_passed_on(self):
        understudy = self.serve('{ max_message = "1000B" }')
        s = self.tunnel()
        first = frame(1, b"a" * 600, True, fin=False) + frame(9, b"", True)
        s.sendall(first + frame(0, b"b" * 400, True))
        wait_until(lambda: self.all_heard() == first + frame(0, b"b" * 400, True))
        s.sendall(first + frame(0, b"b" * 401, True))
        self.assertEqual(self.read_all(s), close(1009))
        wait_until(lambda: self.all_heard().endswith(first + close(1009, True)))
        wait_until(lambda: understudy.metric("websocket_sessions_closed_total", reason="message_too_big") == 1)
        self.assertEqual(self.line()["messages_in"], 1)

    def test_a_silent_client_is_pinged_and_one_that_does_not_answer_is_gone(self):
        understudy = self.serve('{ ping_interval = "1s", pong_timeout = "500ms", idle_timeout = "1h" }')
        s = self.tunnel()
        for _ in range(2):
            self.assertEqual(s.recv(100), frame(9))
            s.sendall(frame(10, b"", True))
        self.assertEqual(s.recv(100), frame(9))
        begin = time.monotonic()
        self.assertEqual(s.recv(100), close(1001))
        self.assertGreater(time.monotonic() - begin, 0.4)
        self.assertLess(time.monotonic() - begin, 1.0 * SLOW)
        wait_until(lambda: self.all_heard().endswith(close(1001, True)))
        self.assertEqual(understudy.metric("websocket_pings_total"), 3)
        wait_until(lambda: understudy.metric("websocket_sessions_closed_total", reason="no_pong") == 1)

    def test_an_answered_ping_is_no_use_of_the_tunnel(self):
        self.serve('{ ping_interval = "1s", idle_timeout = "2500ms" }')
        s = self.tunnel()
        begin = time.monotonic()
        while True:
            data = s.recv(100)
            if data != frame(9):
                break
            s.sendall(frame(10, b"", True))
        self.assertEqual(data, close(1001))
        self.assertLess(time.monotonic() - begin, 3.5 * SLOW)

    def test_a_tunnel_lives_no_longer_than_it_may_however_busy(self):
        understudy = self.serve('{ max_duration = "1s" }')
        s = self.tunnel()
        s.settimeout(0.1)
        begin = time.monotonic()
        got = b""
        while not got:
            self.assertLess(time.monotonic() - begin, 5 * SLOW)
            s.sendall(frame(2, b"busy", True))
            try:
                got = s.recv(100)
            except (socket.timeout, TimeoutError):
                pass
        self.assertEqual(got, close(1001))
        self.assertGreater(time.monotonic() - begin, 0.9)
        wait_until(lambda: understudy.metric("websocket_sessions_closed_total", reason="max_duration") == 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
