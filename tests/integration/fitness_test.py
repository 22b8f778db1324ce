"""Standbys whose health page is green and that could not serve: synthetic requests find them before they are needed."""
import json
import unittest

from harness import Story, wait_until

CHECK = 'path = "/healthz"\ninterval = "200ms"\ntimeout = "1s"\nfall = 2\nrise = 2'
ORDERS = '[[pool.app.fitness]]\nname = "read an order"\npath = "/orders/1"\ninterval = "300ms"\ntimeout = "2s"\n'
FOREVER = 'failback = "manual"\n'


class FitnessTest(Story):
    def start_with(self, tiers, fitness=ORDERS, failover=FOREVER):
        listed = ", ".join('{ name = "%s", endpoints = [%s] }' % (name, ", ".join('"%s"' % o.address for o in origins))
                           for name, origins in tiers)
        config = self.config(["127.0.0.1:1"], check=CHECK, pool=fitness + "[pool.app.failover]\n" + failover)
        self.understudy = self.proxy(config.replace('primary = ["127.0.0.1:1"]', "tiers = [%s]" % listed))
        self.await_healthy(self.understudy, *[o.address for _, origins in tiers for o in origins])
        for name, _ in tiers:
            self.await_verdict(name, "fit")

    def tier(self, name):
        return next(t for t in self.understudy.status()["pools"][0]["tiers"] if t["name"] == name)

    def await_verdict(self, tier, verdict):
        def reached():
            return self.tier(tier)["fitness"]["verdict"] == verdict
        wait_until(reached, 20)

    def mood(self, origin, query):
        self.assertEqual(self.request(path="/mood?" + query, port=origin.port)[0], 200)

    def await_event(self, kind, tier):
        def told():
            return [e for e in self.understudy.events(kind) if e["tier"] == tier]
        return wait_until(told, 20)[0]

    def test_an_unfit_standby_is_told_and_failover_goes_to_the_next_fit_tier(self):
        p1, s1, f1 = self.origin("p1"), self.origin("s1"), self.origin("f1")
        self.start_with([("primary", [p1]), ("standby", [s1]), ("far", [f1])])
        self.assertEqual(self.understudy.status()["state"], "ok")
        self.mood(s1, "errors=100")
        event = self.await_event("tier_unfit", "standby")
        self.assertIn("answered 500", event["reason"])
        self.assertIn("read an order", event["reason"])
        self.assertTrue(self.understudy.endpoint(s1.address)["available"], "the health page is green")
        self.assertEqual(self.understudy.active(), "primary")
        self.assertEqual(self.request()[0], 200)
        self.assertIn("standby is unfit", self.understudy.status()["sentence"])
        self.assertIn("UNFIT", self.understudy.cli("status").stdout)
        self.assertEqual(self.understudy.metric("tier_fit", tier="standby", verdict="unfit"), 1)
        self.assertEqual(self.understudy.metric("tier_fit", tier="primary", verdict="fit"), 1)
        self.assertEqual(self.understudy.metric("endpoint_fit", tier="standby", verdict="fit"), 0)
        self.assertGreaterEqual(self.understudy.metric("synthetic_requests_total", tier="standby", result="failed"), 2)
        self.assertGreaterEqual(self.understudy.metric("tier_fit_age_seconds", tier="far"), 0)

        p1.kill()
        wait_until(lambda: self.understudy.active() != "primary", 20)
        self.assertEqual(self.understudy.active(), "far")
        self.assertEqual(self.request()[2], b"hello from f1")

        self.mood(s1, "")
        self.await_event("tier_fit", "standby")
        self.assertEqual(self.understudy.metric("tier_fit", tier="standby", verdict="fit"), 1)

    def test_require_fit_forbids_an_unfit_standby_until_nothing_is_left(self):
        p1, p2, s1 = self.origin("p1"), self.origin("p2"), self.origin("s1")
        self.start_with([("primary", [p1, p2]), ("standby", [s1])],
                        failover=FOREVER + 'min_available = 2\nrequire_fit = true\n')
        self.mood(s1, "errors=100")
        self.await_event("tier_unfit", "standby")
        p1.kill()
        self.await_event("tier_lost", "primary")
        event = self.await_event("nothing_better", "primary")
        self.assertIn("unfit", event["reason"])
        self.assertEqual(self.understudy.active(), "primary")
        self.assertEqual(self.request()[2], b"hello from p2")
        p2.kill()
        wait_until(lambda: self.understudy.active() == "standby", 20)

    def test_old_data_makes_a_standby_stale(self):
        p1, s1 = self.origin("p1"), self.origin("s1")
        common = 'path = "/data"\ninterval = "300ms"\ntimeout = "2s"\n'
        self.start_with(
            [("primary", [p1]), ("standby", [s1])],
            fitness=f'[[pool.app.fitness]]\nname = "field"\n{common}compare = {{ header = "x-data-version", max_lag = "1s" }}\n'
                    f'[[pool.app.fitness]]\nname = "body"\n{common}compare = {{ json = "/data/version", max_lag = "1s" }}\n')
        self.mood(p1, "version=2")
        event = self.await_event("tier_unfit", "standby")
        self.assertIn("behind the serving tier", event["reason"])
        self.await_verdict("standby", "stale")
        requests = {r["name"]: r for r in self.understudy.endpoint(s1.address)["fitness"]["requests"]}
        self.assertEqual({r["value"] for r in requests.values()}, {"1"})
        self.mood(s1, "version=2")
        self.await_event("tier_fit", "standby")
        self.mood(s1, "version=0")   # /data without a version
        def both_unfit():
            return all(r["verdict"] == "unfit" for r in self.understudy.endpoint(s1.address)["fitness"]["requests"])
        wait_until(both_unfit, 20)
        details = {r["name"]: r["detail"] for r in self.understudy.endpoint(s1.address)["fitness"]["requests"]}
        self.assertIn("without the field x-data-version", details["field"])
        self.assertIn("has no such value (/data/version)", details["body"])

    def test_methods_bodies_and_websockets_arrive_as_written(self):
        record = self.path("record")
        p1, s1 = self.origin("p1", "--record", record), self.origin("s1", "--record", record)
        pace = 'interval = "300ms"\ntimeout = "2s"\n'
        self.start_with(
            [("primary", [p1]), ("standby", [s1])],
            fitness=f'[[pool.app.fitness]]\npath = "/ws"\nwebsocket = true\n{pace}'
                    f'[[pool.app.fitness]]\npath = "/post"\nmethod = "POST"\nunsafe = true\nheaders = {{ X-Id = "probe" }}\n'
                    f'body = "abc"\nexpect_body = "done"\n{pace}'
                    f'[[pool.app.fitness]]\npath = "/echo"\nmethod = "PUT"\nunsafe = true\nbody = "as written"\n'
                    f'expect_body = "as written"\n{pace}'
                    f'[[pool.app.fitness]]\npath = "/hello"\nmethod = "HEAD"\n{pace}'
                    f'[[pool.app.fitness]]\npath = "/status/404"\nexpect = 404\n{pace}')
        with open(record) as f:
            lines = set(f.read().splitlines())
        self.assertLessEqual({"p1 post probe", "s1 post probe", "p1 ws open", "s1 ws open"}, lines)
        requests = self.understudy.endpoint(s1.address)["fitness"]["requests"]
        self.assertEqual([(r["name"], r["verdict"], r["failed"]) for r in requests],
                         [(name, "fit", 0) for name in
                          ("WebSocket /ws", "POST /post", "PUT /echo", "HEAD /hello", "GET /status/404")], json.dumps(requests))

    def test_a_reload_changes_what_is_asked(self):
        p1, s1 = self.origin("p1"), self.origin("s1")
        self.start_with([("primary", [p1]), ("standby", [s1])])
        with open(self.understudy.path) as f:
            before = f.read()
        self.understudy.write(before.replace('path = "/orders/1"', 'path = "/status/503"'))
        self.understudy.cli("reload")
        self.await_event("tier_unfit", "standby")
        self.understudy.write(before.replace(ORDERS, ""))
        self.understudy.cli("reload")
        self.assertIsNone(self.tier("standby")["fitness"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
