"""A second attempt beside one that is slow: who gets it, which answer is delivered, what it may cost, and that nothing is left of the
loser. The baselines are learned first, from a few hundred quick answers."""
import http.client
import signal
import time
import unittest
import urllib.request

from harness import SLOW, Story, certificate, wait_until
from load import Load

# Traffic ejects and doubts nobody here: what is slow stays in the balance, and is hedged within the share.
TRUSTING = '\n[pool.app.passive]\nenabled = false\n'
LEARN = 400     # requests: 20 hedges at 5 %


class HedgeTest(Story):
    def begin(self, names=("a", "b"), standby=(), pool="", tail=TRUSTING, origin_args=(), listen=""):
        self.record, self.log = self.path("record"), self.path("access.log")
        open(self.record, "w").close()
        self.origins = {name: self.origin(name, "--record", self.record, *origin_args) for name in (*names, *standby)}
        self.understudy = self.proxy(self.config(
            [self.origins[n].address for n in names], [self.origins[n].address for n in standby], check="off = true",
            server="workers = 1", listen=listen, pool=('' if "balance" in pool else 'balance = "round_robin"\n') + 'response_timeout = "5s"\n' + pool + tail,
            more='[log]\naccess = { format = "json", path = "%s" }' % self.log))

    def learn(self, requests=LEARN):
        self.client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SLOW)
        self.addCleanup(self.client.close)
        for _ in range(requests):
            self.ask()
        time.sleep(0.3)         # the samples of the last tenth of a second, and the view that follows

    def ask(self, method="GET", path="/hello", body=None, headers=None):
        self.client.request(method, path, body=body, headers=headers or {})
        answer = self.client.getresponse()
        return answer.status, answer.read().decode()

    def mood(self, name, text):
        with urllib.request.urlopen(f"http://{self.origins[name].address}/mood?{text}", timeout=10) as answer:
            answer.read()

    def lines(self, word, name):
        with open(self.record) as f:
            return [line for line in f.read().splitlines() if line.startswith(f"{name} {word}")]

    def hedges(self, *results):
        return sum(self.understudy.metric("hedges_total", pool="app", result=r) for r in results or ("won", "lost", "failed", "abandoned"))

    def logged(self, count, path="/hello"):
        """The last `count` lines of the access log."""
        def written():
            lines = [line for line in self.access_lines(self.log) if line["path"] == path]
            return len(lines) >= self.asked + count and lines
        return wait_until(written, 5)[self.asked:]

    def nothing_is_left(self):
        def at_rest():
            return self.understudy.metric("endpoint_in_flight") == 0
        wait_until(at_rest, 5)

    def test_a_hung_endpoint_is_outrun_and_the_loser_closed(self):
        self.begin()
        self.learn()
        self.mood("a", "hang=1")
        self.asked = LEARN
        descriptors = self.understudy.descriptors()
        took = []
        for _ in range(20):
            begin = time.monotonic()
            self.assertEqual(self.ask(), (200, "hello from b"))
            took.append(time.monotonic() - begin)
        hung = len(self.lines("hang", "a"))
        self.assertGreaterEqual(hung, 5)
        self.assertEqual(self.hedges("won"), hung)
        self.assertEqual(self.hedges(), hung)
        self.assertLess(sorted(took)[10], 0.5 * SLOW)
        def all_gone():
            return len(self.lines("gone", "a")) == hung
        wait_until(all_gone, 5)
        lines = self.logged(20)
        self.assertEqual([line["hedge"] for line in lines].count("won"), hung)
        self.assertEqual({(line["attempts"], line["endpoint"]) for line in lines if line["hedge"] == "won"},
                         {(2, self.origins["b"].address)})
        self.assertEqual({line["attempts"] for line in lines if line["hedge"] == ""} or {1}, {1})
        self.nothing_is_left()
        self.assertLessEqual(self.understudy.descriptors(), descriptors + 2)
        # An answer that another endpoint gave is no failure of this one, nor its success.
        self.assertEqual(self.understudy.metric("retries_total", pool="app"), 0)

    def test_the_first_answer_is_delivered_whoever_gives_it(self):
        self.begin(pool='balance = "random"\n')
        self.learn()
        self.mood("a", "delay=200")
        self.mood("b", "delay=900")
        self.asked = LEARN
        for _ in range(16):
            self.assertEqual(self.ask(), (200, "hello from a"))
        lines = self.logged(16)
        self.assertEqual({line["hedge"] for line in lines}, {"won", "lost"})
        self.assertEqual({line["endpoint"] for line in lines}, {self.origins["a"].address})
        self.assertEqual(self.hedges("won") + self.hedges("lost"), 16)
        self.nothing_is_left()

    def test_a_fast_failure_does_not_win(self):
        self.begin(names=("a", "b"), pool="[pool.app.retry]\nsafe_on_5xx = false\n")
        self.learn()
        self.mood("a", "delay=300")
        self.mood("b", "errors=100")
        self.asked = LEARN
        statuses = [self.ask()[0] for _ in range(10)]
        lines = self.logged(10)
        self.assertEqual([line["status"] for line in lines], statuses)
        hedged = [line for line in lines if line["hedge"]]
        self.assertGreaterEqual(len(hedged), 3)
        # b's 500 was there first, and was kept until a had answered.
        self.assertEqual({(line["status"], line["endpoint"], line["hedge"]) for line in hedged}, {(200, self.origins["a"].address, "failed")})
        # The same with nobody listening.
        self.origins["b"].kill()
        for _ in range(6):
            self.assertEqual(self.ask(), (200, "hello from a"))
        # And where both answer with a failure it is passed on, once.
        self.mood("a", "delay=100&errors=100")
        self.assertEqual([self.ask()[0] for _ in range(4)], [500] * 4)
        self.nothing_is_left()

    def test_a_kept_failure_is_the_answer_when_nothing_better_comes(self):
        self.begin(pool='[pool.app.retry]\nmax = 1\nsafe_on_5xx = false\n')
        self.learn()
        self.mood("a", "hang=1")
        self.mood("b", "errors=100")
        begin = time.monotonic()
        answers = [self.ask() for _ in range(2)]        # one of them begins at a, and waits for it as long as it may
        self.assertEqual(answers, [(500, "moody")] * 2)
        self.assertGreater(time.monotonic() - begin, 4.5)
        self.assertIn(self.hedges(), (1, 2))        # the next in turn may be a again
        self.nothing_is_left()

    def test_what_writes_has_a_body_or_is_bound_to_its_server_is_not_hedged(self):
        self.begin(pool='sticky = { cookie = "seat" }\n')
        self.learn()
        cookies = {}
        for _ in range(4):
            self.client.request("GET", "/hello")
            answer = self.client.getresponse()
            cookies[answer.read().decode()] = answer.getheader("Set-Cookie").split(";")[0]
        self.mood("a", "delay=250")
        for i in range(4):
            self.assertEqual(self.ask("POST", "/post", body="x", headers={"X-Id": "post%d" % i})[0], 200)
            self.assertEqual(self.ask("PUT", "/post", body="x", headers={"X-Id": "put%d" % i})[0], 200)
            self.assertEqual(self.ask("GET", "/post", body="x", headers={"X-Id": "get%d" % i})[0], 200)
        for _ in range(2):
            self.assertEqual(self.ask(headers={"Cookie": cookies["hello from a"]})[1], "hello from a")
        with open(self.record) as f:
            executed = [line.split(" ")[2] for line in f.read().splitlines()]
        self.assertEqual(sorted(executed), sorted(k + str(i) for k in ("post", "put", "get") for i in range(4)))
        for _ in range(4):      # the opening of a WebSocket
            s = self.connect()
            s.sendall(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                      b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            self.assertTrue(s.recv(1000).startswith(b"HTTP/1.1 101"))
            s.close()
        self.assertEqual(self.hedges(), 0)
        self.assertEqual(self.ask("HEAD")[0], 200)
        self.assertEqual(self.ask("HEAD")[0], 200)
        self.assertIn(self.hedges("won"), (1, 2))       # a hedge takes its turn in the round as well

    def test_no_more_than_the_share_when_everything_is_slow(self):
        self.begin()
        self.learn()
        for name in ("a", "b"):
            self.mood(name, "delay=200")
        load = Load(self.port, gets=150, posts=0).start()
        time.sleep(4)
        load.stop()
        self.assertEqual([r for r in load.results if r[3] != 200], [])
        requests = LEARN + len(load.results)
        self.assertGreater(self.hedges(), 10)
        self.assertLessEqual(self.hedges(), 0.05 * requests)
        self.assertGreater(self.understudy.metric("hedges_refused_total", pool="app", reason="share"), 100)
        self.nothing_is_left()

    def test_the_budget_bounds_it_too_and_the_operator_may_want_none(self):
        self.begin(pool='[pool.app.retry]\nbudget = "1%"\nbudget_floor = "0.1/s"\nhedge_share = "100%"\n')
        self.learn()
        for name in ("a", "b"):
            self.mood(name, "delay=100")
        for _ in range(20):
            self.assertEqual(self.ask()[0], 200)
        self.assertGreater(self.hedges(), 0)
        self.assertLessEqual(self.hedges(), 0.01 * (LEARN + 20) + 6)
        self.assertGreater(self.understudy.metric("hedges_refused_total", pool="app", reason="budget"), 5)
        hedges = self.hedges()
        with open(self.understudy.path) as f:
            config = f.read()
        self.understudy.write(config.replace('hedge_share = "100%"', 'hedge = false'))
        self.understudy.cli("reload")
        self.mood("b", "")
        for _ in range(8):
            self.assertEqual(self.ask()[0], 200)
        self.assertEqual(self.hedges(), hedges)

    def test_a_client_that_leaves_ends_both(self):
        self.begin()
        self.learn()
        for name in ("a", "b"):
            self.mood(name, "hang=1")
        s = self.connect()
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        def both_wait():
            return self.lines("hang", "a") and self.lines("hang", "b")
        wait_until(both_wait, 5)
        s.close()
        def both_gone():
            return self.lines("gone", "a") and self.lines("gone", "b")
        wait_until(both_gone, 5)
        self.assertEqual(self.hedges("abandoned"), 1)
        self.nothing_is_left()

    def test_a_standby_may_be_asked_what_is_safe(self):
        self.begin(names=("a",), standby=("s",), pool="")
        self.learn()
        self.mood("a", "delay=300")
        self.assertEqual({self.ask()[1] for _ in range(5)}, {"hello from s"})
        self.assertEqual(self.ask("POST", "/post", body="x", headers={"X-Id": "1"})[0], 200)
        self.assertEqual(self.lines("post", "s"), [])
        self.assertEqual(self.hedges("won"), 5)
        self.assertEqual(self.understudy.metric("fallthrough_total", pool="app"), 5)
        self.assertEqual(self.understudy.active(), "primary")

    def test_tls_endpoints_are_outrun_too(self):
        cert, key = certificate(self.folder, "origin", ["127.0.0.1"])
        self.begin(pool="tls = { insecure = true }\n", origin_args=("--tls", cert, key))
        self.learn()
        self.origins["a"].signal(signal.SIGSTOP)
        for _ in range(16):     # on kept connections, and then in handshakes that nobody answers
            self.assertEqual(self.ask(), (200, "hello from b"))
        self.assertGreaterEqual(self.hedges("won"), 5)
        self.origins["a"].signal(signal.SIGCONT)
        self.nothing_is_left()

    def test_a_frozen_endpoint_is_found_though_its_requests_are_rescued(self):
        self.begin(names=("a", "b", "c"), tail="")
        self.load = Load(self.port, gets=150, posts=0).start()
        self.addCleanup(self.load.stop)
        time.sleep(4)
        began = time.monotonic()
        self.origins["a"].signal(signal.SIGSTOP)
        def suspected():
            return any(self.origins["a"].address in e["reason"] for e in self.understudy.events("endpoint_suspect"))
        wait_until(suspected, 3)
        time.sleep(2)
        self.load.stop()
        bad = [r for r in self.load.results if r[0] >= began and (r[3] != 200 or r[4] > 1)]
        self.assertEqual(bad, [])
        self.assertGreater(self.hedges("won"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
