"""A fleet that comes back: WebSockets are opened no faster than their endpoint can, who is too much waits his turn or is told when to come
back, and plain requests on the same listener notice nothing."""
import asyncio
import json
import os
import resource
import statistics
import time
import unittest
import urllib.request

from background import Background
from harness import HERE, SLOW, Process, Story, wait_until
from tunnel_test import open_tunnel, opening

import subprocess


class OpeningOrigin(Process):
    def __init__(self, kind, rate, port=None):
        super().__init__(["/usr/bin/python3", os.path.join(HERE, "opening_origin.py"), kind, str(rate), *([str(port)] if port else [])],
                         stdout=subprocess.PIPE)
        self.port = int(self.popen.stdout.readline())
        self.address = "127.0.0.1:%d" % self.port

    def get(self, path):
        with urllib.request.urlopen("http://%s%s" % (self.address, path), timeout=10 * SLOW) as answer:
            return answer.read()

    def stats(self):
        return json.loads(self.get("/stats"))


class Fleet(Background):
    """Devices that all come at once, wait as they are told when they are refused, and then stay."""

    def __init__(self, port, count, over=0.0):
        self.port, self.count, self.over = port, count, over
        self.opened, self.refused, self.lost, self.retry_after = [], 0, 0, []

    def begin(self):
        self.began = time.monotonic()
        return [asyncio.ensure_future(self.device(i * self.over / self.count)) for i in range(self.count)]

    async def device(self, after):
        await asyncio.sleep(after)
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                asked = time.monotonic()
                writer.write(opening())
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"HTTP/1.1 101"):
                    self.opened.append((time.monotonic() - self.began, time.monotonic() - asked))
                    await reader.read(1)
                    self.lost += 1
                    return
                fields = dict(l.lower().split(b": ", 1) for l in head.split(b"\r\n")[1:] if b": " in l)
                self.refused += 1
                self.retry_after.append(int(fields[b"retry-after"]))
            except (asyncio.IncompleteReadError, ConnectionError):
                self.lost += 1
                return
            finally:
                writer.close()
            await asyncio.sleep(self.retry_after[-1])


class OpeningsTest(Story):
    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))

    def opening_origin(self, kind, rate, port=None):
        origin = OpeningOrigin(kind, rate, port)
        self.processes.append(origin)
        return origin

    def serve(self, origins, standby=(), workers=2, pool="", more=""):
        understudy = self.proxy(self.config(
            [o.address for o in origins], [o.address for o in standby], server="workers = %d\nmax_connections_per_ip = 5000\n" % workers, pool=pool,
            more='[log]\naccess = { format = "json", path = "%s" }\n' % self.path("access.log") + more))
        self.await_healthy(understudy, *[o.address for o in [*origins, *standby]])
        return understudy

    def latencies(self, seconds):
        """Plain requests, one after another on one connection; how long each took."""
        s = self.connect()
        out = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begin = time.monotonic()
            s.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(self.read_answer(s)[0], 200)
            out.append(time.monotonic() - begin)
            time.sleep(0.005)
        return out

    def test_two_thousand_devices_and_an_endpoint_that_opens_a_hundred_a_second(self):
        origin = self.opening_origin("queue", 100)
        understudy = self.serve([origin])
        before = self.latencies(1)
        with Fleet(self.port, 2000, over=2) as fleet:
            wait_until(lambda: len(fleet.opened) > 20)
            seen = understudy.status()["pools"][0]
            self.assertGreater(seen["openings"]["waiting"], 100)
            self.assertGreater(seen["openings"]["estimated_wait_ms"], 100)
            self.assertGreater(understudy.metric("websocket_opening_queue"), 100)
            during = self.latencies(5)
            wait_until(lambda: len(fleet.opened) == 2000, 50)
            took = fleet.opened[-1][0]
            stats = origin.stats()
            p99 = lambda l: statistics.quantiles(l, n=100)[98]
            print("2,000 devices back after %.1f s, at most %d/s asked, %d told to come back; plain p50 %.1f and %.1f ms, p99 %.1f and %.1f ms" % (
                took, stats["most"], fleet.refused, *[1000 * f(l) for f in (statistics.median, p99) for l in (before, during)]))
            self.assertFalse(stats["collapsed"])
            self.assertLessEqual(stats["most"], 110)
            self.assertEqual(stats["open"], 2000)
            self.assertEqual(fleet.lost, 0)
            self.assertLess(took, 40 * SLOW)
            self.assertEqual(understudy.metric("websocket_opening_queue"), 0)
            self.assertEqual(understudy.metric("websocket_openings_refused_total"), fleet.refused)
            endpoint = understudy.endpoint(origin.address)
            self.assertEqual(endpoint["openings"]["in_progress"], 0)
        lines = [l for l in self.access_lines(self.path("access.log")) if l["status"] == 101]
        self.assertTrue(not lines or max(l["queue_ms"] for l in lines) > 1000)   # written when they end

    def test_a_cold_endpoint_is_asked_for_no_more_than_it_opens_and_nobody_is_refused(self):
        origins = [self.opening_origin("refuse", 50) for _ in range(2)]
        understudy = self.serve(origins)
        for origin in origins:
            origin.kill()
        wait_until(lambda: not any(understudy.endpoint(o.address)["available"] for o in origins))
        origins = [self.opening_origin("refuse", 50, origin.port) for origin in origins]
        self.await_healthy(understudy, *[o.address for o in origins])
        with Fleet(self.port, 200) as fleet:
            wait_until(lambda: len(fleet.opened) == 200, 15)
            for origin in origins:
                self.assertLessEqual(origin.stats()["most"], 50)
            self.assertEqual((fleet.refused, fleet.lost), (0, 0))
            self.assertLess(fleet.opened[-1][0], 5 * SLOW)
        self.assertEqual(understudy.metric("websocket_openings_busy_total"), 0)

    def test_what_an_endpoint_refuses_is_opened_a_little_later(self):
        origin = self.opening_origin("refuse", 30)
        understudy = self.serve([origin], pool='[pool.app.openings]\nwait = "30s"\n[pool.app.passive]\nenabled = false\n')
        with Fleet(self.port, 250) as fleet:
            wait_until(lambda: len(fleet.opened) == 250, 30)
            self.assertEqual((fleet.refused, fleet.lost), (0, 0))
        busy = understudy.metric("websocket_openings_busy_total")
        self.assertEqual(busy, origin.stats()["refused"])
        self.assertGreater(busy, 0)
        self.assertLess(busy, 500)
        self.assertEqual(understudy.metric("tier_degraded", tier="primary"), 0)

    def test_who_finds_no_place_is_told_a_time_and_times_differ(self):
        origin = self.opening_origin("queue", 5)
        understudy = self.serve([origin], pool='[pool.app.openings]\nmax = 1\nqueue = 10\nwait = "2s"\n')
        with Fleet(self.port, 60) as fleet:
            wait_until(lambda: fleet.refused >= 49)
            self.assertEqual(understudy.metric("websocket_openings_refused_total", reason="queue_full") +
                             understudy.metric("websocket_openings_refused_total", reason="late"), fleet.refused)
            self.assertGreater(max(fleet.retry_after[:49]), 5)
            self.assertGreater(len(set(fleet.retry_after[:49])), 5)
            wait_until(lambda: understudy.metric("websocket_openings_refused_total", reason="late") > 0)
        line = next(l for l in self.access_lines(self.path("access.log")) if l["status"] == 503)
        self.assertEqual(line["term"], "openings")

    def test_who_leaves_the_queue_and_a_reload_disturb_nobody(self):
        origin = self.opening_origin("queue", 20)
        understudy = self.serve([origin], pool='[pool.app.openings]\nmax = 1\n')
        impatient = []
        for _ in range(40):
            s = self.connect()
            s.sendall(opening())
            impatient.append(s)
        wait_until(lambda: understudy.metric("websocket_opening_queue") > 20)
        for s in impatient:
            s.close()
        wait_until(lambda: understudy.metric("websocket_opening_queue") == 0)
        with Fleet(self.port, 60) as fleet:
            wait_until(lambda: len(fleet.opened) > 5)
            understudy.write(open(understudy.path).read() + "\n[pool.app.retry]\nmax = 2\n")
            understudy.cli("reload")
            wait_until(lambda: len(fleet.opened) == 60)
            self.assertEqual((fleet.refused, fleet.lost), (0, 0))

    def test_given_limits_alone(self):
        origin = self.opening_origin("delay", 1)
        understudy = self.serve([origin], pool='[pool.app.openings]\nadaptive = false\nrate = "20/s"\nmax = "none"\n')
        with Fleet(self.port, 60) as fleet:
            wait_until(lambda: len(fleet.opened) == 60)
            self.assertGreater(fleet.opened[-1][0], 2)
            self.assertLessEqual(origin.stats()["most"], 24)
        self.assertEqual(understudy.endpoint(origin.address)["openings"]["allowed_per_second"], 20)
        open_tunnel(self)


if __name__ == "__main__":
    unittest.main(verbosity=2)
