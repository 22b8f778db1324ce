"""Too few descriptors: the proxy waits without spinning, stays healthy, and recovers by itself."""
import resource
import socket
import time
import unittest

from harness import SLOW, Story, wait_until


class DescriptorsTest(Story):
    def test_two_hundred_connections_with_64_descriptors(self):
        app = self.origin("app")
        config = self.config([app.address], server="workers = 2\nfd_reserve = 16\n", listen='limits = { first_byte_timeout = "60s" }\n')
        understudy = self.proxy(config, preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        self.await_healthy(understudy, app.address)
        self.flood(understudy, app)

    def test_the_same_when_the_limit_falls_below_what_was_planned(self):
        app = self.origin("app")
        understudy = self.proxy(self.config([app.address], server="workers = 2\n", listen='limits = { first_byte_timeout = "60s" }\n'))
        self.await_healthy(understudy, app.address)
        # Now accept4 itself meets EMFILE.
        resource.prlimit(understudy.pid, resource.RLIMIT_NOFILE, (understudy.descriptors() + 12, 20000))
        self.flood(understudy, app, admin=False)
        self.assertGreater(understudy.metric("accept_errors_total"), 0)

    def flood(self, understudy, app, admin=True):
        clients = []
        for _ in range(200):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", self.port))
            clients.append(s)
            self.addCleanup(s.close)
        time.sleep(0.5)
        cpu = understudy.cpu()
        begin = time.monotonic()
        while time.monotonic() - begin < 2:
            if admin:
                self.assertTrue(understudy.endpoint(app.address)["available"])   # probes go on
                self.assertEqual(understudy.get("/livez")[0], 200)
            time.sleep(0.2)
        self.assertLess(understudy.cpu() - cpu, 0.5 * SLOW)
        for s in clients:
            s.close()
        def served():
            try:
                return self.request(timeout=2)[2] == b"hello from app"
            except OSError:
                return False
        wait_until(served, 10)
        self.assertTrue(understudy.endpoint(app.address)["available"])
        wait_until(lambda: all(served() for _ in range(5)), 5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
