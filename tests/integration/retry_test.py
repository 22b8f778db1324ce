"""What is repeated, where, at whose cost; and what never is."""
import time
import unittest

from harness import SLOW, Story, free_port, wait_until

NO_VERDICTS = "off = true"                                     # no probes: only the requests themselves find out
CALM = "\n[pool.app.passive]\nenabled = false\n"               # and nobody is ejected for it


class RetryTest(Story):
    def setUp(self):
        super().setUp()
        self.record = self.path("record")
        open(self.record, "w").close()

    def recorded(self, word):
        with open(self.record) as f:
            return [line.split() for line in f if word in line]

    def test_a_refused_connect_is_tried_elsewhere_for_free_even_for_a_post(self):
        live = self.origin("live", "--record", self.record)
        gone = "127.0.0.1:%d" % free_port()
        understudy = self.proxy(self.config([live.address, gone], check=NO_VERDICTS, server="workers = 1",
                                            pool='balance = "round_robin"\n[pool.app.retry]\nbudget = "0%"\nbudget_floor = "1/m"' + CALM))
        for i in range(40):
            self.assertEqual(self.request("POST", "/post", headers={"X-Id": str(i)}, body=b"x")[0], 200)
        self.assertEqual(sorted(int(line[2]) for line in self.recorded(" post ")), list(range(40)))
        self.assertGreaterEqual(understudy.metric("retries_total", pool="app"), 15)
        self.assertEqual(understudy.metric("retries_refused_total", pool="app"), 0)
        self.assertGreaterEqual(understudy.metric("upstream_errors_total", endpoint=gone, reason="tcp_refused"), 15)

    def test_a_kept_alive_connection_that_dies_costs_a_get_nothing_and_a_sent_post_a_502(self):
        origin = self.origin("a", "--record", self.record)
        understudy = self.proxy(self.config([origin.address], check=NO_VERDICTS, server="workers = 1"))
        for _ in range(5):
            self.assertEqual(self.request(path="/fragile")[0], 200)
            self.assertEqual(self.request()[2], b"hello from a")
        self.assertEqual(len(self.recorded("died GET")), 5)
        self.assertEqual(understudy.endpoint(origin.address)["available"], True)
        self.assertEqual(self.request(path="/fragile")[0], 200)
        status, _, _ = self.request("POST", "/post", headers={"X-Id": "1"}, body=b"x")
        self.assertEqual(status, 502)
        self.assertEqual((len(self.recorded("died POST")), len(self.recorded(" post "))), (1, 0))

    def test_try_timeout_moves_what_may_be_repeated_and_leaves_a_post_alone(self):
        slow = self.origin("slow", "--delay", "1500", "--record", self.record)
        quick = self.origin("quick", "--record", self.record)
        self.proxy(self.config([slow.address, quick.address], check=NO_VERDICTS, server="workers = 1",
                               pool='balance = "round_robin"\ntry_timeout = "200ms"' + CALM))
        for _ in range(6):
            begin = time.monotonic()
            status, _, body = self.request()
            self.assertEqual((status, body), (200, b"hello from quick"))
            self.assertLess(time.monotonic() - begin, 0.7 * SLOW)
        for _ in range(4):          # the opening of a WebSocket is a GET too
            begin = time.monotonic()
            s = self.connect()
            s.sendall(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                      b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            self.assertTrue(s.recv(1000).startswith(b"HTTP/1.1 101"))
            self.assertLess(time.monotonic() - begin, 0.7 * SLOW)
        for i in range(2):
            self.assertEqual(self.request("POST", "/post", headers={"X-Id": str(i)}, body=b"x")[0], 200)
        self.assertEqual(sorted(line[0] for line in self.recorded(" post ")), ["quick", "slow"])

    def test_distinct_endpoints_come_first_and_the_next_tier_after_them_for_safe_methods_only(self):
        bad = [self.origin("bad%d" % i, "--status", "503", "--record", self.record) for i in range(2)]
        spare = self.origin("spare", "--record", self.record)
        understudy = self.proxy(self.config([b.address for b in bad], [spare.address], server="workers = 1",
                                            pool="[pool.app.retry]\non_5xx = true" + CALM))
        self.await_healthy(understudy, spare.address, *(b.address for b in bad))
        epoch = understudy.metric("failover_epoch", pool="app")
        for _ in range(4):
            self.assertEqual(self.request()[2], b"hello from spare")
        counts = {b.name: len([line for line in self.recorded("failed GET") if line[0] == b.name]) for b in bad}
        self.assertEqual(counts, {"bad0": 4, "bad1": 4})           # each once a request
        self.assertEqual(understudy.metric("fallthrough_total", pool="app"), 4)
        self.assertEqual(self.request("POST", "/post", headers={"X-Id": "1"}, body=b"x")[0], 503)   # theirs, passed on
        self.assertEqual(len(self.recorded("failed POST")), 1)
        # PUT may be repeated, and it writes: other endpoints of its tier, no other tier.
        self.assertGreaterEqual(self.request("PUT", "/hello", body=b"x")[0], 502)
        self.assertEqual({line[0] for line in self.recorded("failed PUT")}, {"bad0", "bad1"})
        self.assertEqual(understudy.metric("fallthrough_total", pool="app"), 4)
        self.assertEqual(understudy.metric("failover_epoch", pool="app"), epoch)

    def test_a_read_that_is_answered_500_is_asked_once_more_elsewhere(self):
        bad = [self.origin("bad%d" % i, "--status", "500", "--record", self.record) for i in range(2)]
        good = self.origin("good", "--record", self.record)
        understudy = self.proxy(self.config([bad[0].address, good.address], check=NO_VERDICTS, server="workers = 1",
                                            pool='balance = "round_robin"\n' + CALM))
        statuses = {self.request("POST", "/post", headers={"X-Id": str(i)}, body=b"x")[0] for i in range(2)}
        self.assertEqual(statuses, {200, 500})    # law 2: a write is not repeated
        for _ in range(10):
            self.assertEqual(self.request()[2], b"hello from good")
        failed = len(self.recorded("failed GET"))
        self.assertGreater(failed, 0)
        self.assertEqual(understudy.metric("retries_total", pool="app"), failed)
        understudy.kill()

        # Where everybody fails, the second answer is the client's, and with an empty budget the first: as it came.
        self.port = None
        pool = '[pool.app.retry]\nbudget = "0%"\nbudget_floor = "1/s"' + CALM
        understudy = self.proxy(self.config([b.address for b in bad], check=NO_VERDICTS, server="workers = 1", pool=pool))
        before = len(self.recorded("failed GET"))
        for _ in range(40):
            self.assertEqual(self.request()[0], 500)
        asked = len(self.recorded("failed GET")) - before
        self.assertGreater(asked, 40)
        self.assertLess(asked, 60)
        self.assertGreater(understudy.metric("retries_refused_total", pool="app"), 20)

    def test_the_budget_bounds_what_retries_add_with_one_worker_and_with_four(self):
        bad = [self.origin("bad%d" % i, "--status", "503") for i in range(2)]
        for workers in (1, 4):
            with self.subTest(workers=workers):
                self.port = None
                understudy = self.proxy(self.config(
                    [b.address for b in bad], check=NO_VERDICTS, server="workers = %d" % workers,
                    pool='[pool.app.retry]\non_5xx = true\nbudget = "10%"\nbudget_floor = "1/s"' + CALM))
                begin = time.monotonic()
                statuses = {self.request()[0] for _ in range(150)}
                seconds = time.monotonic() - begin
                retries = understudy.metric("retries_total", pool="app")
                self.assertLessEqual(retries, 150 * 0.1 + seconds + 10 + 1)    # the deposits, and what the floor adds
                self.assertGreater(retries, 5)
                self.assertGreater(understudy.metric("retries_refused_total", pool="app"), 100)
                self.assertTrue(all(status >= 502 for status in statuses), statuses)
                understudy.kill()

    def test_a_body_larger_than_the_replay_is_sent_once(self):
        a = self.origin("a", "--record", self.record)
        understudy = self.proxy(self.config([a.address], check=NO_VERDICTS, server="workers = 1"))
        self.assertEqual(self.request(path="/fragile")[0], 200)
        # A PUT of 1 MiB cannot be kept for another attempt once part of it has left.
        status, _, _ = self.request("PUT", "/sink", body=b"x" * (1 << 20))
        self.assertIn(status, (200, 502))
        self.assertLessEqual(len(self.recorded("died PUT")), 1)
        # One that fits is repeated, whole.
        self.assertEqual(self.request(path="/fragile")[0], 200)
        self.assertEqual(self.request("PUT", "/echo", body=b"y" * 60000)[2], b"y" * 60000)
        self.assertEqual(understudy.metric("retries_refused_total", pool="app"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
