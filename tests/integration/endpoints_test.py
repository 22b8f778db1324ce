"""Who may receive traffic inside a tier: ejection by traffic, panic, slow start, and what counts before the first verdict."""
import time
import unittest

from harness import SLOW, Story, wait_until

QUICK = 'path = "/healthz"\ninterval = "200ms"\ntimeout = "150ms"\nfall = 2\nrise = 1'


class EndpointsTest(Story):
    def test_traffic_ejects_for_a_time_that_grows_and_never_the_last_one(self):
        bad, good = self.origin("bad", "--status", "500"), self.origin("good")
        understudy = self.proxy(self.config(
            [bad.address, good.address], check=QUICK, server="workers = 1",
            pool='balance = "round_robin"\n[pool.app.passive]\nconsecutive = 3\nbase_ejection = "700ms"'))
        self.await_healthy(understudy, bad.address, good.address)     # its checks pass all the while
        def ejected():
            self.request()
            return understudy.endpoint(bad.address)["passive"] == "ejected"
        times = []
        for _ in range(2):
            wait_until(ejected, 5)
            begin = time.monotonic()
            self.assertEqual({self.request()[0] for _ in range(10)}, {200})
            wait_until(lambda: understudy.endpoint(bad.address)["available"], 10)
            times.append(time.monotonic() - begin)
        self.assertAlmostEqual(times[0], 0.7, delta=0.25 * SLOW)
        self.assertAlmostEqual(times[1], 1.4, delta=0.35 * SLOW)
        reason = understudy.events("endpoint_ejected")[0]["reason"]
        self.assertIn("3 failures in a row from real traffic (http_status, limit 3)", reason)
        # With the other one gone too, somebody has to take the requests.
        good.kill()
        wait_until(lambda: not understudy.endpoint(good.address)["available"], 5)
        statuses = [self.request()[0] for _ in range(10)]
        self.assertEqual(set(statuses[5:]), {500})
        self.assertEqual(understudy.endpoint(bad.address)["passive"], "in")

    def test_a_client_cannot_make_an_endpoint_look_bad(self):
        a, b = self.origin("a"), self.origin("b")
        understudy = self.proxy(self.config([a.address, b.address], check=QUICK, pool="[pool.app.passive]\nconsecutive = 2"))
        self.await_healthy(understudy, a.address, b.address)
        for _ in range(10):
            self.assertEqual(self.request(path="/status/404")[0], 404)
            s = self.connect()
            s.sendall(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.02)
            s.close()
        time.sleep(0.3)
        self.assertEqual(understudy.events("endpoint_ejected"), [])

    def test_when_too_few_are_available_all_are_used(self):
        origins = [self.origin(name) for name in "abc"]
        understudy = self.proxy(self.config([o.address for o in origins], check=QUICK, server="workers = 1",
                                            pool='balance = "round_robin"\n[pool.app.passive]\nenabled = false'))
        self.await_healthy(understudy, *(o.address for o in origins))
        for sick in origins[:2]:     # /healthz fails, everything else works
            self.assertEqual(self.request(path="/sick", port=sick.port)[0], 200)
        wait_until(lambda: understudy.metric("tier_panic", pool="app") == 1, 10)
        self.assertEqual(set(self.tally(9)), {"a", "b", "c"})
        self.assertEqual(len(understudy.events("panic_entered")), 1)
        self.assertEqual(self.request(path="/well", port=origins[0].port)[0], 200)
        wait_until(lambda: understudy.metric("tier_panic", pool="app") == 0, 10)
        self.assertEqual(set(self.tally(8)), {"a", "c"})

    def test_an_endpoint_that_comes_back_is_given_its_share_step_by_step(self):
        a, b = self.origin("a"), self.origin("b")
        understudy = self.proxy(self.config([a.address, b.address], check=QUICK, server="workers = 1",
                                            pool='balance = "round_robin"\nslow_start = "4s"\npanic_threshold = "0%"'))
        self.await_healthy(understudy, a.address, b.address)
        b.kill()
        wait_until(lambda: not understudy.endpoint(b.address)["available"], 5)
        self.origin("b", port=b.port)
        wait_until(lambda: understudy.endpoint(b.address)["available"], 5)
        early = self.tally(60)["b"]
        self.assertTrue(0 < early < 22, early)          # half would be 30
        wait_until(lambda: understudy.endpoint(b.address)["weight"] == 1, 10)
        self.assertAlmostEqual(self.tally(60)["b"], 30, delta=3)

    def start_with(self, at_start, rise=1):
        self.port = None
        self.slow = self.origin("slow", "--health-delay", "700")
        check = 'path = "/healthz"\ninterval = "1s"\ntimeout = "1s"\nfall = 2\nrise = %d\nat_start = "%s"' % (rise, at_start)
        understudy = self.proxy(self.config([self.slow.address], check=check, server='state_dir = "none"').replace(
            'state_dir = "%s/state"\n' % self.folder, ""))
        return understudy, lambda: understudy.endpoint(self.slow.address)["available"]

    def test_assume_healthy_serves_before_the_first_verdict(self):
        understudy, available = self.start_with("assume_healthy")
        self.assertTrue(available())
        self.assertEqual(self.request()[0], 200)

    def test_assume_unhealthy_waits_for_all_the_passes_of_rise(self):
        understudy, available = self.start_with("assume_unhealthy", rise=2)
        begin = time.monotonic()
        self.assertFalse(available())
        wait_until(available, 10)
        self.assertGreater(time.monotonic() - begin, 1.2)     # two probes of 700 ms

    def test_wait_holds_requests_back_until_the_first_pass(self):
        understudy, available = self.start_with("wait 3s")
        begin = time.monotonic()
        self.assertFalse(available())
        self.assertEqual(self.request()[0], 200)              # a request of the first second waits, and is served
        self.assertLess(time.monotonic() - begin, 1.5 * SLOW)
        wait_until(available, 5)

    def test_wait_ends_when_the_time_is_over(self):
        self.slow = self.origin("slow", "--health-delay", "60000")
        check = 'path = "/healthz"\ninterval = "5s"\ntimeout = "5s"\nat_start = "wait 500ms"'
        understudy = self.proxy(self.config([self.slow.address], check=check))
        begin = time.monotonic()
        wait_until(lambda: understudy.endpoint(self.slow.address)["available"], 5)
        self.assertLess(time.monotonic() - begin, 2 * SLOW)
        self.assertEqual(self.request()[0], 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
