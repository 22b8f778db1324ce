"""Which endpoint gets a request: every kind of balance, weights, sticky cookies, hashing with bounded load, in-flight limits."""
import collections
import concurrent.futures
import http.cookies
import unittest

from harness import SLOW, Story, wait_until


class BalanceTest(Story):
    def serve(self, *origins, pool="", server="workers = 1", weights=()):
        self.origins = [self.origin(*o) if isinstance(o, tuple) else self.origin(o) for o in origins]
        entries = [o.address for o in self.origins]
        if weights:
            entries = ['{ address = "%s", weight = %d }' % (o.address, w) for o, w in zip(self.origins, weights)]
        self.understudy = self.proxy(self.config(entries, pool=pool, server=server))
        self.await_healthy(self.understudy, *(o.address for o in self.origins))

    def at_once(self, count, **request):
        """Bodies of requests that overlap, counted, and statuses."""
        with concurrent.futures.ThreadPoolExecutor(count) as threads:
            answers = list(threads.map(lambda _: self.request(**request), range(count)))
        return collections.Counter(status for status, _, _ in answers), \
            collections.Counter(body.decode().rsplit(" ", 1)[-1] for status, _, body in answers if status == 200)

    def test_round_robin_follows_the_weights_exactly(self):
        self.serve("a", "b", "c", pool='balance = "round_robin"', weights=(3, 2, 1))
        counts = self.tally(60)
        self.assertEqual(counts.total(), 60)
        for name, share in (("a", 30), ("b", 20), ("c", 10)):
            self.assertAlmostEqual(counts[name], share, delta=2)

    def test_random_spreads_by_weight(self):
        self.serve("a", "b", pool='balance = "random"', weights=(3, 1))
        counts = self.tally(200)
        self.assertTrue(115 <= counts["a"] <= 185, counts)   # 150 expected; more than five standard deviations away is no chance

    def test_least_request_keeps_away_from_the_busy_one(self):
        self.serve(("slow", "--delay", "300"), "quick", pool='balance = "least_request"')
        with concurrent.futures.ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda _: self.request()[2], range(150)))
        slow = sum(body == b"hello from slow" for body in answers)
        self.assertLess(slow, 50, "of 150")
        self.assertGreater(slow, 0)

    def test_latency_prefers_the_quick_one_and_still_looks_at_the_other(self):
        self.serve(("slow", "--delay", "40"), "quick", pool='balance = "latency"')
        counts = self.tally(100)
        self.assertGreater(counts["quick"], 85)
        self.assertGreater(counts["slow"], 0)

    def test_hash_keeps_a_user_at_an_endpoint_and_moves_only_the_users_of_one_that_died(self):
        self.serve("a", "b", "c", pool='balance = "hash"\nhash_on = "header:X-User"\npanic_threshold = "0%"')
        def place(user):
            return next(iter(self.tally(1, headers={"X-User": user})))
        users = ["user-%d" % i for i in range(60)]
        before = {user: place(user) for user in users}
        self.assertEqual(set(before.values()), {"a", "b", "c"})
        self.assertEqual(before, {user: place(user) for user in users})
        self.origins[1].kill()
        wait_until(lambda: not self.understudy.endpoint(self.origins[1].address)["available"], 10)
        after = {user: place(user) for user in users}
        self.assertEqual({u for u in users if before[u] != after[u]}, {u for u in users if before[u] == "b"})

    def test_hash_on_cookie_path_and_client_address(self):
        for hash_on, vary, spread in (("cookie:id", lambda i: {"headers": {"Cookie": "x=1; id=%d" % i}}, True),
                                      ("path", lambda i: {"path": "/hello/%d" % i}, True),
                                      ("client_address", lambda i: {"path": "/hello/%d" % i}, False)):
            with self.subTest(hash_on):
                self.port = None
                self.serve("a", "b", pool='balance = "hash"\nhash_on = "%s"' % hash_on)
                places = {i: set() for i in range(24)}
                for _ in range(2):
                    for i in places:
                        places[i] |= set(self.tally(1, **vary(i)))
                self.assertTrue(all(len(p) == 1 for p in places.values()), places)
                self.assertEqual(len(set.union(*places.values())), 2 if spread else 1)
                self.understudy.kill()

    def test_a_hot_key_spills_over_before_it_drowns_its_endpoint(self):
        self.serve(("a", "--delay", "300"), ("b", "--delay", "300"), pool='balance = "hash"\nhash_on = "header:X-User"')
        statuses, counts = self.at_once(16, headers={"X-User": "the one"})
        self.assertEqual(statuses, {200: 16})
        # No more than 1.25 times its half of what is under way, rounded up.
        self.assertLessEqual(max(counts.values()), 11)
        self.assertGreaterEqual(min(counts.values()), 5)

    def test_a_sticky_cookie_holds_while_draining_and_is_renewed_when_the_endpoint_dies(self):
        self.serve("a", "b", pool='balance = "round_robin"\nsticky = "lb"')
        _, headers, body = self.request()
        first = body.decode().rsplit(" ", 1)[-1]
        cookie = http.cookies.SimpleCookie(headers["set-cookie"])["lb"]
        self.assertTrue(cookie["httponly"])
        keep = {"Cookie": "lb=" + cookie.value}
        self.assertEqual(self.tally(10, headers=keep), {first: 10})
        self.assertNotIn("set-cookie", self.request(headers=keep)[1])
        self.assertEqual(set(self.tally(4)), {"a", "b"})
        own = next(o for o in self.origins if o.name == first)
        self.understudy.cli("drain", own.address)
        self.assertEqual(self.tally(4, headers=keep), {first: 4})     # old friends stay
        self.assertNotIn(first, self.tally(4))                        # new ones do not come
        own.kill()
        status, headers, body = self.request(headers=keep)
        self.assertEqual(status, 200)
        self.assertNotEqual(body.decode().rsplit(" ", 1)[-1], first)
        self.assertNotEqual(http.cookies.SimpleCookie(headers["set-cookie"])["lb"].value, cookie.value)
        self.assertEqual(self.request(headers={"Cookie": "lb=%s" % ("f" * 16)})[0], 200)   # a made-up one is no error

    def test_the_limit_of_requests_in_flight_is_exact_with_one_worker_and_with_four(self):
        for workers in (1, 4):
            with self.subTest(workers=workers):
                self.port = None
                self.serve(("a", "--delay", "600"), ("b", "--delay", "600"), pool="max_in_flight = 3",
                           server="workers = %d" % workers)
                statuses, counts = self.at_once(12)
                self.assertEqual(statuses, {200: 6, 503: 6})
                self.assertEqual(counts, {"a": 3, "b": 3})
                self.understudy.kill()

    def test_more_endpoints_than_workers_keep_books_of_get_no_traffic_and_an_error(self):
        a = self.origin("a")
        many = ", ".join('"127.%d.%d.%d:9"' % (1 + i // 65025, i // 255 % 255, 1 + i % 255) for i in range(16384))
        more = '[pool.many]\nprimary = [%s]\n[pool.many.check]\noff = true\n[pool.zlast]\nprimary = ["%s"]\n[pool.zlast.check]\noff = true\n' \
               '[[route]]\nmatch = { path = "/last" }\npool = "zlast"\n[[route]]\npool = "app"' % (many, a.address)
        understudy = self.proxy(self.config([a.address], more=more, server="workers = 1"))
        self.await_healthy(understudy, a.address)
        self.assertIn("endpoints get no traffic: there are more than the 16384", understudy.events_text())
        self.assertEqual({self.request(path="/last")[0] for _ in range(3)}, {503})
        self.assertEqual(self.request()[2], b"hello from a")
        self.assertTrue(understudy.alive())


if __name__ == "__main__":
    unittest.main(verbosity=2)
