#!/usr/bin/env python3
"""Fleets of permanent WebSockets at full size, on real sockets.

    tests/bench/fleet.py [--only pacing,storm,tunnels,parked] [--devices N]

  pacing   5,000 tunnels leave a drained endpoint within ten seconds, with 1 and with 4 workers: Close frames of each second against an
           even spread (goal: within 20 %), torn frames (goal: none)
  storm    10,000 devices come back at once to an endpoint that opens 500/s; p99 of plain requests on the same listener, before and
           meanwhile (goal: less than twice); what the endpoint was asked for
  tunnels  20,000 idle tunnels on one worker: memory of the proxy for each (goal: 3 KB)
  parked   500 devices with parked tunnels talk for a minute while their endpoints are killed, frozen, drained and left by moves of tiers:
           no client sees an end, no message is torn or told twice, and those lost are at most those at risk

Needs a release build (and `understudy_load` of it for the tunnels). Exit code 1 when a goal is missed."""
import argparse
import collections
import os
import select
import socket
import statistics
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests/integration")]
os.environ.setdefault("UNDERSTUDY_BINARY", os.path.join(ROOT, "build/release/understudy"))

import machine  # noqa: E402
from frames_test import close  # noqa: E402
from harness import Story, wait_until  # noqa: E402
from openings_test import OpeningOrigin  # noqa: E402
from tunnel_test import opening  # noqa: E402


class Device:
    """One client of a fleet: connects, asks for its WebSocket, comes back when it is told to, and notes how it ends."""
    __slots__ = ("socket", "state", "rest", "asked", "opened", "closed", "ended", "due")

    def __init__(self, due):
        self.socket, self.state, self.rest, self.due = None, "waits", b"", due
        self.asked = self.opened = self.closed = self.ended = None


class Devices:
    """All of them in one loop; `turn` has to be called until what is waited for has come."""

    def __init__(self, port, count, over, path=b"/ws"):
        self.port, self.path = port, path
        self.poll = select.epoll()
        now = time.monotonic()
        self.all = [Device(now + over * i / count) for i in range(count)]
        self.waiting = collections.deque(self.all)
        self.later = []   # were refused
        self.by_fd, self.open, self.refused, self.failed = {}, 0, 0, 0

    def dial(self, device):
        device.socket = socket.socket()
        device.socket.setblocking(False)
        device.socket.connect_ex(("127.0.0.1", self.port))
        device.state, device.rest = "dials", b""
        self.by_fd[device.socket.fileno()] = device
        self.poll.register(device.socket.fileno(), select.EPOLLOUT)

    def drop(self, device):
        fd = device.socket.fileno()
        self.poll.unregister(fd)
        del self.by_fd[fd]
        device.socket.close()

    def turn(self, seconds=0.02):
        now = time.monotonic()
        for _ in range(200):   # connections of one turn
            if not self.waiting or self.waiting[0].due > now:
                break
            self.dial(self.waiting.popleft())
        if self.later and self.later[0].due <= now:
            due = [d for d in self.later if d.due <= now]
            self.later = [d for d in self.later if d.due > now]
            self.waiting.extendleft(due)
        for fd, events in self.poll.poll(seconds):
            device = self.by_fd.get(fd)
            if device is not None:
                self.serve(device, events)

    def serve(self, device, events):
        try:
            if device.state == "dials":
                device.socket.send(opening(self.path))
                device.asked, device.state = time.monotonic(), "asks"
                self.poll.modify(device.socket.fileno(), select.EPOLLIN)
                return
            data = device.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            device.ended = time.monotonic()
            if device.state == "asks":
                self.failed += 1
            else:
                self.open -= 1
            return self.drop(device)
        device.rest += data
        if device.state == "asks":
            self.head(device)
        if device.state == "open":
            self.frames(device)

    def head(self, device):
        end = device.rest.find(b"\r\n\r\n")
        if end < 0:
            return
        head, device.rest = device.rest[:end], device.rest[end + 4:]
        if head.startswith(b"HTTP/1.1 101"):
            device.state, device.opened = "open", time.monotonic()
            self.open += 1
            return
        fields = dict(l.lower().split(b": ", 1) for l in head.split(b"\r\n")[1:] if b": " in l)
        self.refused += 1
        device.due, device.state = time.monotonic() + int(fields[b"retry-after"]), "waits"
        self.drop(device)
        self.later.append(device)
        self.later.sort(key=lambda d: d.due)

    def frames(self, device):
        rest = device.rest
        while len(rest) >= 2 and rest[1] < 126 and len(rest) >= 2 + rest[1]:
            if rest[0] & 15 == 8:
                device.closed = time.monotonic()
                try:
                    device.socket.send(close(1012, True))
                except OSError:
                    pass
            rest = rest[2 + rest[1]:]
        device.rest = rest

    def until(self, done, seconds):
        end = time.monotonic() + seconds
        while not done() and time.monotonic() < end:
            self.turn()
        return done()

    def stop(self):
        for device in list(self.by_fd.values()):
            self.drop(device)
        self.poll.close()


PLAIN = r"""
import http.client, sys, time
port, due, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
c, end = http.client.HTTPConnection("127.0.0.1", port), due + seconds
while due < end:
    time.sleep(max(0, due - time.monotonic()))
    c.request("GET", "/plain/x")
    answer = c.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    print(time.monotonic() - due)   # from when it was due
    due += 0.01
"""


class FleetTest(Story):
    devices = None
    missed = 0

    def setUp(self):
        super().setUp()
        machine.allow_many_files()

    def goal(self, met, words):
        print(("      " if met else "MISS  ") + words, flush=True)
        FleetTest.missed += not met

    def test_pacing(self):
        count = self.devices or 5000
        for workers in (1, 4):
            origins = [self.origin("p%d" % i) for i in range(2)]
            self.port = None
            understudy = self.proxy(self.config(
                [o.address for o in origins], server="workers = %d\nmax_connections_per_ip = 50000\nshutdown_grace = \"1s\"\n" % workers,
                pool='[pool.app.failover]\nfailback = "manual"\n[pool.app.passive]\nenabled = false\n',
                more='[[route]]\npool = "app"\nwebsocket = { close_over = "10s" }\n').replace('shutdown_grace = "5s"\n', ""))
            self.await_healthy(understudy, *[o.address for o in origins])
            understudy.cli("drain", origins[1].address)
            fleet = Devices(self.port, count, 5)
            self.assertTrue(fleet.until(lambda: fleet.open == count, 120), "%d of %d open" % (fleet.open, count))
            understudy.cli("enable", origins[1].address)
            understudy.cli("drain", origins[0].address)
            self.assertTrue(fleet.until(lambda: fleet.open == 0, 30), "%d are left" % fleet.open)
            times = sorted(d.closed for d in fleet.all if d.closed)
            per_second = collections.Counter(min(9, int(t - times[0])) for t in times)
            worst = max(abs(per_second[s] * 10 / count - 1) for s in range(10))
            torn = sum(1 for d in fleet.all if d.rest)
            self.goal(len(times) == count and worst <= 0.2 and torn == 0,
                      "%d tunnels leave, %d workers: %d told, per second %s, worst %.0f %% off, %d torn" % (
                          count, workers, len(times), [per_second[s] for s in range(10)], 100 * worst, torn))
            fleet.stop()
            understudy.kill()

    def plain(self, port, begin, seconds):
        client = subprocess.Popen([sys.executable, "-c", PLAIN, str(port), str(begin), str(seconds)], stdout=subprocess.PIPE, text=True)
        self.place(client.pid, machine.LOAD_CORE, first=True)
        return client

    def place(self, pid, core, first=False):
        """The proxy has a core; what measures goes before what makes the storm, or it would measure its own load."""
        for task in os.listdir("/proc/%d/task" % pid):
            os.sched_setaffinity(int(task), [core])
            try:
                if first:
                    os.sched_setscheduler(int(task), os.SCHED_FIFO, os.sched_param(1))
            except PermissionError:
                print("      (no priority for what measures: its figures hold the load's delays)")

    def test_storm(self):
        count, rate = min(self.devices or 10000, machine.open_files() // 2 - 1000), 500   # as many as this machine has descriptors for
        origin, other = OpeningOrigin("queue", rate), self.origin("other")
        self.processes.append(origin)
        understudy = self.proxy(self.config(
            [origin.address], server="workers = 1\nmax_connections_per_ip = 50000\n", pool='[pool.app.openings]\nqueue = 20000\nwait = "1m"\n',
            more='[pool.other]\nprimary = ["%s"]\n[[route]]\nmatch = { path = "/plain/*" }\npool = "other"\n[[route]]\npool = "app"\n' % other.address))
        self.await_healthy(understudy, origin.address, other.address)
        self.place(understudy.pid, machine.PROXY_CORE)
        self.place(other.pid, machine.LOAD_CORE, first=True)
        for pid in (origin.pid, os.getpid()):
            self.place(pid, machine.LOAD_CORE)
        p99 = lambda l: 1000 * statistics.quantiles(l, n=100)[98]
        read = lambda client: [float(l) for l in client.communicate()[0].split()]
        before = read(self.plain(self.port, time.monotonic() + 1, 10))
        came = time.monotonic() + 2   # they have started by then
        during, direct = self.plain(self.port, came, 20), self.plain(other.port, came, 20)
        time.sleep(came - time.monotonic())
        fleet = Devices(self.port, count, 1)
        done = fleet.until(lambda: fleet.open == count, 180)
        took = time.monotonic() - came
        meanwhile, beside = read(during), read(direct)
        stats = origin.stats()
        self.goal(done and not stats["collapsed"] and p99(meanwhile) < 2 * p99(before) and fleet.failed == 0,
                  "%d of %d devices back after %.1f s (at best %.1f), at most %d/s asked of %d, %d told to come later, %d lost; plain "
                  "requests: p50 %.2f ms before, %.2f meanwhile, p99 %.2f and %.2f (past the proxy: %.2f and %.2f meanwhile)" % (
                      fleet.open, count, took, count / rate, stats["most"], rate, fleet.refused, fleet.failed,
                      *[1000 * statistics.median(l) for l in (before, meanwhile)], p99(before), p99(meanwhile), 1000 * statistics.median(beside),
                      p99(beside)))
        fleet.stop()

    def test_tunnels(self):
        from load import Load
        import memory_growth
        import proxies
        count = min(self.devices or 20000, machine.open_files() // 2 - 1000)   # a tunnel has two ends, here and at the load
        machine.make_certificates(self.folder)
        load = Load(os.path.join(ROOT, "build/release/understudy_load"))
        self.addCleanup(load.close)
        make = lambda: proxies.Understudy(self.folder, load.port)
        rss, pss, base = memory_growth.growth(load, make, {"kind": "ws", "path": "/ws", "expect": 125}, False, count)
        self.goal(rss <= 3072, "%d idle tunnels on one worker (%d descriptors at most here): %.0f bytes of RSS each, %.0f MB before" % (
            count, machine.open_files(), rss, base / 1e6))

    def test_parked(self):
        from parked_test import ParkedFleetTest
        run = unittest.TestResult()

        class Minute(ParkedFleetTest):
            def runTest(self):
                self.run_fleet(500, 1, 2, 60)
        Minute().run(run)
        self.goal(run.wasSuccessful(), "500 devices for a minute" + "".join(trace for _, trace in run.failures + run.errors))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="pacing,storm,tunnels,parked")
    parser.add_argument("--devices", type=int, help="how many, in place of the numbers above")
    words = parser.parse_args()
    FleetTest.devices = words.devices
    suite = unittest.TestSuite(FleetTest("test_" + name) for name in words.only.split(","))
    result = unittest.TextTestRunner(verbosity=0).run(suite)
    return 1 if FleetTest.missed or not result.wasSuccessful() else 0


if __name__ == "__main__":
    sys.exit(main())
