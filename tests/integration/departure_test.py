"""Tunnels that have to leave (drain, failover, failback, reload, stop) go evenly over `close_over`, between two messages, with 1012; those of
a dead endpoint go at once; and what does not concern a tunnel does not touch it."""
import collections
import selectors
import signal
import socket
import struct
import time
import unittest

from harness import SLOW, Story, wait_until
from frames_test import frame, close
from raw_origin import RawOrigin
from tunnel_test import opening, switched

CHECK = 'path = "/healthz"\ninterval = "200ms"\ntimeout = "500ms"\nfall = 2\nrise = 2'


class Device:
    def __init__(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20 * SLOW)
        self.socket.sendall(opening(path))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            more = self.socket.recv(1)
            if not more:
                break
            head += more
        if not head.startswith(b"HTTP/1.1 101 "):
            raise AssertionError(head)
        self.socket.setblocking(False)
        self.rest = b""
        self.frames = []      # (opcode, size)
        self.closed = None    # (when, code, reason)
        self.ended = None
        self.sent = 0

    def take(self, data):
        """Whole frames out of what came; what is left must be nothing when it ends."""
        self.rest += data
        while len(self.rest) >= 2:
            size, head = self.rest[1] & 127, 2
            if size == 126:
                if len(self.rest) < 4:
                    return
                size, head = struct.unpack(">H", self.rest[2:4])[0], 4
            elif size == 127:
                if len(self.rest) < 10:
                    return
                size, head = struct.unpack(">Q", self.rest[2:10])[0], 10
            if len(self.rest) < head + size:
                return
            opcode, payload = self.rest[0] & 15, self.rest[head:head + size]
            self.rest = self.rest[head + size:]
            self.frames.append((opcode, len(payload)))
            if opcode == 8:
                self.closed = (time.monotonic(), struct.unpack(">H", payload[:2])[0], payload[2:])


class Fleet:
    """Many devices that echo messages through their tunnels until those end."""

    def __init__(self, story, count, path=b"/ws", message=200):
        self.devices = [Device(story.port, path) for _ in range(count)]
        self.message = frame(2, b"m" * message, True)
        self.selector = selectors.DefaultSelector()
        for device in self.devices:
            story.addCleanup(device.socket.close)
            self.selector.register(device.socket, selectors.EVENT_READ, device)
        self.turn = 0

    def open(self):
        return [d for d in self.devices if d.ended is None and d.closed is None]

    def run(self, seconds, until=lambda: False, rate=200):
        """Lets the devices talk; ends early when until() is true."""
        end = time.monotonic() + seconds
        due = time.monotonic()
        while time.monotonic() < end and not until():
            now = time.monotonic()
            due = max(due, now - 0.1)
            while due < now:
                due += 1 / rate
                self.turn += 1
                device = self.devices[self.turn % len(self.devices)]
                if device.ended is None and device.closed is None and device.sent < 3:
                    try:
                        sent = device.socket.send(self.message)
                        assert sent == len(self.message)
                        device.sent += 1
                    except (BlockingIOError, ConnectionError):
                        pass
            for key, _ in self.selector.select(0.01):
                device = key.data
                try:
                    data = device.socket.recv(1 << 20)
                except BlockingIOError:
                    continue
                except ConnectionError:
                    data = b""
                if data:
                    before = len(device.frames)
                    device.take(data)
                    device.sent -= sum(1 for f in device.frames[before:] if f[0] == 2)
                    if device.closed and device.ended is None:
                        try:
                            device.socket.send(close(device.closed[1], True))
                        except OSError:
                            pass
                else:
                    device.ended = time.monotonic()
                    self.selector.unregister(device.socket)


class DepartureTest(Story):
    def serve(self, origins, standby=(), websocket='{ close_over = "2s" }', workers=1, more=""):
        understudy = self.proxy(self.config(
            [o.address for o in origins], [o.address for o in standby], check=CHECK, server="workers = %d\nmax_connections_per_ip = 2000\n" % workers,
            pool='[pool.app.failover]\nfailback = "manual"\n[pool.app.passive]\nenabled = false\n',
            more=more + '[[route]]\nname = "rest"\npool = "app"\nwebsocket = %s\n' % websocket))
        self.await_healthy(understudy, *[o.address for o in [*origins, *standby]])
        return understudy

    def whole(self, devices, code=1012, reason=b""):
        """Every one was told so, and no frame was torn."""
        self.assertEqual(collections.Counter((d.closed or (0, 0, b""))[1:] for d in devices), {(code, reason): len(devices)})
        self.assertEqual([d.rest for d in devices if d.rest], [])

    def spread(self, workers, count=500, seconds=10):
        p1, p2, other = self.origin("p1"), self.origin("p2"), self.origin("other")
        understudy = self.serve([p1, p2], websocket='{ close_over = "%ds", close_code = 1001, close_reason = "moving" }' % seconds, workers=workers,
                                more='[pool.other]\nprimary = ["%s"]\n[[route]]\nmatch = { path = "/other/*" }\npool = "other"\n' % other.address)
        self.await_healthy(understudy, other.address)
        understudy.cli("drain", p2.address)
        fleet, untouched = Fleet(self, count), Fleet(self, 20, b"/other/ws")
        understudy.cli("enable", p2.address)
        self.assertEqual(understudy.endpoint(p1.address)["tunnels"], count)
        fleet.run(1)
        begin = time.monotonic()
        understudy.cli("drain", p1.address)
        fleet.run((seconds + 5) * SLOW, until=lambda: all(d.ended for d in fleet.devices))
        self.whole(fleet.devices, 1001, b"moving")
        times = sorted(d.closed[0] for d in fleet.devices)
        first = times[0]
        self.assertLess(first - begin, 2 * SLOW)
        per_second = collections.Counter(min(seconds - 1, int(t - first)) for t in times)
        for second in range(seconds):
            self.assertAlmostEqual(per_second[second], count / seconds, delta=0.2 * count / seconds, msg=str(sorted(per_second.items())))
        untouched.run(0.3)
        self.assertEqual(len(untouched.open()), 20)
        wait_until(lambda: understudy.metric("websocket_sessions_closed_total", reason="draining") == count)
        self.assertEqual(understudy.metric("websocket_sessions_leaving_total"), count)

    def test_law8_five_hundred_leave_a_draining_endpoint_evenly_with_one_worker(self):
        self.spread(1)

    def test_law8_five_hundred_leave_a_draining_endpoint_evenly_with_four_workers(self):
        self.spread(4)

    def test_law8_a_close_waits_for_the_end_of_a_message_and_a_straggler_is_cut_after_the_window(self):
        heard = collections.defaultdict(bytes)
        def serve(s, head):
            s.sendall(switched() + frame(1, b"first half", fin=False))
            while True:
                data = s.recv(65536)
                if not data:
                    return
                heard[head.split(b" ")[1]] += data
                if b"second" in data:
                    s.sendall(frame(0, b", second half"))
        raw = RawOrigin(serve)
        self.addCleanup(raw.stop)
        understudy = self.serve([raw], [self.origin("s1")], websocket='{ close_over = "3s" }')
        whole, torn = Device(self.port, b"/whole"), Device(self.port, b"/torn")
        part = frame(2, b"x" * 60000, True)
        for device in (whole, torn):
            self.addCleanup(device.socket.close)
            device.socket.settimeout(10 * SLOW)
            device.socket.sendall(part[:30000])
        begin = time.monotonic()
        understudy.cli("drain", raw.address)
        time.sleep(0.5)
        whole.socket.sendall(part[30000:] + frame(1, b"second, please", True))
        whole.take(self.read_all(whole.socket))
        self.assertLess(time.monotonic() - begin, 2.9 * SLOW)
        self.assertEqual([f[0] for f in whole.frames], [1, 0, 8])       # its message was sent to its end
        self.whole([whole])
        wait_until(lambda: heard[b"/whole"] == part + frame(1, b"second, please", True) + close(1012, True))
        torn.take(self.read_all(torn.socket))                           # between two frames, when there is no more time
        self.assertEqual([f[0] for f in torn.frames], [1, 8])
        self.whole([torn])
        self.assertEqual(heard[b"/torn"], part[:30000])                 # no Close inside a frame
        wait_until(lambda: understudy.endpoint(raw.address)["tunnels"] == 0)
        self.assertLess(time.monotonic() - begin, 5 * SLOW)

    def test_law8_failover_and_failback_take_the_tunnels_along_at_a_pace(self):
        p1, s1 = self.origin("p1"), self.origin("s1")
        understudy = self.serve([p1], [s1])
        fleet = Fleet(self, 40)
        begin = time.monotonic()
        understudy.cli("failover", "app", "--reason", "kernel upgrade")
        fleet.run(8 * SLOW, until=lambda: all(d.ended for d in fleet.devices))
        self.whole(fleet.devices)
        times = sorted(d.closed[0] - begin for d in fleet.devices)
        self.assertGreater(times[-1] - times[0], 1.5)
        wait_until(lambda: understudy.metric("websocket_sessions_closed_total", reason="failover") == 40)
        fleet = Fleet(self, 20)
        self.assertEqual(understudy.endpoint(s1.address)["tunnels"], 20)
        understudy.cli("failback", "app")
        fleet.run(8 * SLOW, until=lambda: all(d.ended for d in fleet.devices))
        self.whole(fleet.devices)
        wait_until(lambda: understudy.metric("websocket_sessions_closed_total", reason="failback") == 20)

    def test_law8_a_dead_endpoints_tunnels_end_at_once(self):
        p1, s1 = self.origin("p1"), self.origin("s1")
        understudy = self.serve([p1], [s1], websocket='{ close_over = "1m" }')
        fleet = Fleet(self, 40)
        p1.signal(signal.SIGSTOP)
        fleet.run(10 * SLOW, until=lambda: all(d.closed for d in fleet.devices))
        self.whole(fleet.devices)
        times = sorted(d.closed[0] for d in fleet.devices)
        self.assertLess(times[-1] - times[0], 1 * SLOW)
        wait_until(lambda: understudy.metric("websocket_sessions_closed_total", reason="endpoint_dead") == 40)

    def test_a_drain_that_is_called_off_keeps_who_has_not_left_yet(self):
        p1 = self.origin("p1")
        understudy = self.serve([p1, self.origin("p2")], websocket='{ close_over = "8s" }')
        fleet = Fleet(self, 80)
        on_p1 = understudy.endpoint(p1.address)["tunnels"]
        understudy.cli("drain", p1.address)
        fleet.run(10 * SLOW, until=lambda: len(fleet.open()) <= 80 - on_p1 / 4)
        understudy.cli("enable", p1.address)
        fleet.run(0.5)
        left = len(fleet.open())
        self.assertGreater(left, 80 - on_p1)
        fleet.run(1.5)
        self.assertEqual(len(fleet.open()), left)

    def test_a_reload_touches_only_the_tunnels_of_a_route_or_an_endpoint_that_it_takes_away(self):
        p1, p2 = self.origin("p1"), self.origin("p2")
        gone = '[[route]]\nmatch = { path = "/gone/*" }\npool = "app"\nwebsocket = { close_over = "1s", close_code = 4321 }\n'
        understudy = self.serve([p1, p2], more=gone)
        before = Fleet(self, 10, b"/gone/ws")
        stays = Fleet(self, 20)
        text = open(understudy.path).read()
        understudy.write(text.replace('name = "rest"\n', 'name = "others"\n').replace('interval = "200ms"', 'interval = "300ms"'))
        understudy.cli("reload")
        stays.run(0.5)
        self.assertEqual((len(stays.open()), len(before.open())), (20, 10))
        understudy.write(text.replace(gone, ""))
        understudy.cli("reload")
        before.run(5 * SLOW, until=lambda: all(d.ended for d in before.devices))
        self.whole(before.devices, 4321)
        wait_until(lambda: understudy.metric("websocket_sessions_closed_total", reason="route_removed") == 10)
        stays.run(0.3)
        self.assertEqual(len(stays.open()), 20)
        on_p2 = understudy.endpoint(p2.address)["tunnels"]
        understudy.write(text.replace(gone, "").replace(', "%s"]' % p2.address, "]"))
        understudy.cli("reload")
        stays.run(2)                                     # they have the grace of a stop, 5 s, and leave in its second half
        self.assertEqual(len(stays.open()), 20)
        stays.run(5 * SLOW, until=lambda: len(stays.open()) == 20 - on_p2)
        stays.run(0.5)
        self.assertEqual(len(stays.open()), 20 - on_p2)
        self.whole([d for d in stays.devices if d.closed])
        wait_until(lambda: understudy.metric("websocket_sessions_closed_total", reason="endpoint_removed") == on_p2)

    def test_law8_a_stop_lets_tunnels_go_at_their_pace_within_its_grace(self):
        understudy = self.serve([self.origin("p1")], websocket='{ close_over = "1m" }', workers=2)     # the grace is 5 s
        fleet = Fleet(self, 60)
        begin = time.monotonic()
        understudy.signal(signal.SIGTERM)
        fleet.run(10 * SLOW, until=lambda: all(d.ended for d in fleet.devices))
        self.whole(fleet.devices)
        times = sorted(d.closed[0] - begin for d in fleet.devices)
        self.assertGreater(times[-1] - times[0], 2)
        self.assertLess(times[-1], 5)
        self.assertEqual(understudy.popen.wait(10), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
