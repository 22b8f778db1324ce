"""Memory stays flat whoever does not read: bounds on the resident size, and a bystander that is served meanwhile."""
import json
import socket
import threading
import time
import unittest

from harness import SLOW, Story, wait_until
from raw_origin import RawOrigin

MIB = 1 << 20


class MemoryTest(Story):
    def test_a_gigabyte_uploaded_to_an_endpoint_that_stalls_costs_no_memory(self):
        go = threading.Event()
        counted = []

        def stalls(s, head):
            if b"POST" not in head:
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                return
            left = 1024 * MIB
            into = bytearray(4 * MIB)
            while left > 1023 * MIB:
                left -= s.recv_into(into)
            go.wait(30)          # reads a little, then nothing for a while, then all
            while left:
                n = s.recv_into(into)
                if not n:
                    break
                left -= n
            counted.append(1024 * MIB - left)
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

        raw = RawOrigin(stalls)
        self.addCleanup(raw.stop)
        understudy = self.proxy(self.config([raw.address], check="tcp = true", server="workers = 1"))
        self.await_healthy(understudy, raw.address)
        self.assertEqual(self.request()[0], 200)
        before = understudy.rss()
        s = self.connect(timeout=60)
        sent = []

        def upload():
            s.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (1024 * MIB))
            block = b"u" * MIB
            for n in range(1024):
                s.sendall(block)
                sent.append(n)
        thread = threading.Thread(target=upload, daemon=True)
        thread.start()
        last = [-1, 0.0]

        def stuck():
            if len(sent) != last[0]:
                last[:] = [len(sent), time.monotonic()]
            return time.monotonic() - last[1] > 0.5
        wait_until(stuck, 20)
        self.assertLess(len(sent), 100)                       # back-pressure reached the client
        self.assertLess(understudy.rss() - before, 4 * MIB * SLOW)
        cpu = understudy.cpu()
        time.sleep(0.5)
        self.assertLess(understudy.cpu() - cpu, 0.1)          # and waiting costs nothing
        worst = 0
        go.set()
        while thread.is_alive():
            worst = max(worst, understudy.rss() - before)
            thread.join(0.05)
        self.assertEqual(self.read_answer(s)[2], b"done")
        self.assertEqual(counted, [1024 * MIB])
        self.assertLess(worst, 8 * MIB * SLOW)

    def test_a_thousand_downloads_to_clients_that_do_not_read_cost_a_bounded_amount(self):
        app = self.origin("app")
        understudy = self.proxy(self.config([app.address], server="workers = 1\nmax_connections_per_ip = 2000\n"))
        self.await_healthy(understudy, app.address)
        before = understudy.rss()
        clients = []
        for _ in range(1000):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)   # what the kernels hold is not the proxy's
            s.connect(("127.0.0.1", self.port))
            s.sendall(b"GET /bytes?n=1000000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            clients.append(s)
            self.addCleanup(s.close)
        last = [0, 0.0, 0.0]

        def settled():
            size, cpu, now = understudy.rss(), understudy.cpu(), time.monotonic()
            if abs(size - last[0]) > MIB or cpu - last[2] > 0.02:
                last[:] = [size, now, cpu]
            return now - last[1] > 3
        wait_until(settled, 60)
        grown = understudy.rss() - before
        # 64 KiB to send, one block being filled and the objects, for each: never what an endpoint would like to send.
        self.assertLess(grown, 1000 * 192 * 1024 * SLOW)
        cpu = understudy.cpu()
        begin = time.monotonic()
        while time.monotonic() - begin < 2:
            self.assertEqual(self.request()[2], b"hello from app")
            time.sleep(0.1)
        self.assertLess(understudy.cpu() - cpu, 0.4 * SLOW)
        self.assertLess(abs(understudy.rss() - before - grown), 4 * MIB * SLOW)   # flat
        for s in clients:
            s.close()
        wait_until(lambda: understudy.rss() - before < 40 * MIB * SLOW, 20)       # and given back

    def test_above_the_cap_new_requests_are_shed_and_all_is_well_afterwards(self):
        app = self.origin("app")
        understudy = self.proxy(self.config([app.address], server='workers = 2\nmax_buffer_memory = "2MiB"\n'))
        self.await_healthy(understudy, app.address)
        clients = [self.connect() for _ in range(60)]
        for s in clients:
            s.sendall(b"GET /bytes?n=100000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: self.request()[0] == 503, 10)
        status, headers, body = self.request()
        self.assertEqual(status, 503)
        self.assertIn(b"short of memory", body)
        self.assertIn(headers["retry-after"], "12345")
        status, headers, body = self.request(headers={"Accept": "application/json"})
        self.assertEqual((status, headers["content-type"].split(";")[0], json.loads(body)["reason"]), (503, "application/json", "limit_memory"))
        for s in clients:
            s.close()
        # Also on the worker that held the memory and has no request that would tell the others.
        wait_until(lambda: all(self.request()[0] == 200 for _ in range(20)), 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
