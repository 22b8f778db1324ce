"""Probes of every kind against real endpoints, the causes they find; which tier serves, and how it is left and regained."""
import signal
import time
import unittest

from harness import SLOW, Story, certificate, free_port, wait_until

TIMES = 'interval = "200ms"\ntimeout = "150ms"\nfast_interval = "100ms"\nfall = 2\nrise = 1\n'


class ChecksTest(Story):
    def verdicts(self, check, **origins):
        """The verdict on each of these endpoints: "healthy", or the cause that the last probe found."""
        self.port = None
        understudy = self.proxy(self.config(list(origins.values()), check=TIMES + check, server="workers = 1")
                                .replace('"%s/state"' % self.folder, '"none"'))      # nothing of the one before
        def decided():
            return all(understudy.endpoint(a)["checks"] != "unknown" for a in origins.values())
        wait_until(decided, 10)
        found = {name: understudy.endpoint(address) for name, address in origins.items()}
        understudy.kill()
        return {name: "healthy" if e["checks"] == "healthy" else e["last_check"]["cause"] for name, e in found.items()}

    def test_each_kind_of_check_finds_what_it_looks_for(self):
        a = self.origin("a").address
        gone = "127.0.0.1:%d" % free_port()
        hole = self.blackhole()
        self.assertEqual(self.verdicts('path = "/healthz"', a=a, gone=gone, hole=hole),
                         {"a": "healthy", "gone": "tcp_refused", "hole": "tcp_timeout"})
        self.assertEqual(self.verdicts("tcp = true", a=a, gone=gone), {"a": "healthy", "gone": "tcp_refused"})
        self.assertEqual(self.verdicts('path = "/status/500"', a=a), {"a": "http_status"})
        self.assertEqual(self.verdicts('path = "/status/404"\nexpect = "200,400-404"', a=a), {"a": "healthy"})
        self.assertEqual(self.verdicts('path = "/hello"\nbody = "hello from a"', a=a), {"a": "healthy"})
        self.assertEqual(self.verdicts('path = "/hello"\nbody = "hello from b"', a=a), {"a": "http_body"})
        self.assertEqual(self.verdicts('path = "/headers"\nhost = "app.example.org"\nbody = "Host: app.example.org"', a=a), {"a": "healthy"})
        self.assertEqual(self.verdicts('path = "/raw?not_http"', a=a), {"a": "http_malformed"})
        self.assertEqual(self.verdicts('path = "/slow?ms=3000"', a=a), {"a": "http_timeout"})
        self.assertEqual(self.verdicts('path = "/healthz"\nport = %s' % a.rsplit(":", 1)[1], elsewhere=gone), {"elsewhere": "healthy"})

    def test_websocket_and_tls_checks(self):
        a = self.origin("a").address
        cert, key = certificate(self.folder, "localhost", ("localhost", "127.0.0.1"))
        secure = self.origin("t", "--tls", cert, key).address
        self.assertEqual(self.verdicts('websocket = "/ws"', a=a), {"a": "healthy"})
        self.assertEqual(self.verdicts('websocket = "/refuse"', a=a), {"a": "ws_refused"})
        self.assertEqual(self.verdicts('websocket = "/wrong-accept"', a=a), {"a": "ws_malformed"})
        tls = '\n[pool.app.tls]\nserver_name = "localhost"\nca = "%s"' % cert
        self.assertEqual(self.verdicts("tls = true" + tls, t=secure, plain=a), {"t": "healthy", "plain": "tls_timeout"})
        self.assertEqual(self.verdicts('path = "/healthz"' + tls, t=secure), {"t": "healthy"})
        stranger, _ = certificate(self.folder, "stranger")
        self.assertEqual(self.verdicts("tls = true\n" + tls.replace(cert, stranger), t=secure), {"t": "tls_failed"})

    def test_probes_are_spread_and_come_faster_while_a_verdict_changes(self):
        a = self.origin("a")
        understudy = self.proxy(self.config([a.address], check='path = "/healthz"\ninterval = "2s"\nfast_interval = "100ms"\n'
                                            'timeout = "500ms"\nfall = 4\nrise = 4'))
        self.await_healthy(understudy, a.address)
        self.request(path="/sick", port=a.port)
        begin = time.monotonic()
        wait_until(lambda: understudy.endpoint(a.address)["checks"] == "unhealthy", 10)
        self.assertLess(time.monotonic() - begin, 2.4 + 1.5 * SLOW)       # not 4 × 2 s
        self.request(path="/well", port=a.port)
        begin = time.monotonic()
        wait_until(lambda: understudy.endpoint(a.address)["available"], 10)
        self.assertLess(time.monotonic() - begin, 2.4 + 1.5 * SLOW)


class TiersTest(Story):
    def begin(self, failover, primaries=1, more=""):
        self.port = None
        self.primaries = [self.origin("p%d" % i) for i in range(primaries)]
        self.standby = self.origin("s")
        self.understudy = self.proxy(self.config([p.address for p in self.primaries], [self.standby.address], check='path = "/healthz"\n' + TIMES,
                                                 pool=more + "\n[pool.app.failover]\n" + failover))
        self.await_healthy(self.understudy, self.standby.address, *(p.address for p in self.primaries))

    def on(self, tier):
        return lambda: self.understudy.active() == tier

    def test_manual_failback_waits_for_the_operator(self):
        self.begin('failback = "manual"', more="epoch_header = true")
        def epoch():
            head = self.request(path="/headers")[2].decode()
            return int(next(line for line in head.split("\r\n") if line.startswith("Understudy-Epoch: ")).split()[1])
        before = epoch()
        self.primaries[0].kill()
        wait_until(self.on("standby"), 5)
        self.assertEqual(epoch(), before + 1)
        self.origin("p0", port=self.primaries[0].port)
        wait_until(lambda: self.understudy.endpoint(self.primaries[0].address)["available"], 5)
        time.sleep(0.5)
        self.assertEqual(self.understudy.active(), "standby")
        self.understudy.cli("failback", "app")
        self.assertEqual(self.understudy.active(), "primary")
        self.assertEqual(epoch(), before + 2)
        self.assertEqual(self.understudy.metric("failover_epoch", pool="app"), before + 2)

    def test_auto_failback_returns_as_soon_as_the_tier_can_serve(self):
        self.begin('failback = "auto"')
        self.primaries[0].kill()
        wait_until(self.on("standby"), 5)
        self.origin("p0", port=self.primaries[0].port)
        wait_until(self.on("primary"), 5)
        self.assertEqual(len(self.understudy.events("failback")), 1)

    def test_below_min_available_the_next_tier_serves(self):
        self.begin('min_available = "2"\nfailback = "auto"', primaries=2)
        self.primaries[1].signal(signal.SIGSTOP)
        wait_until(self.on("standby"), 5)
        self.assertEqual(self.request()[2], b"hello from s")
        self.primaries[1].signal(signal.SIGCONT)
        wait_until(self.on("primary"), 5)

    def test_with_nothing_better_it_stays_and_says_that_all_are_down(self):
        self.begin('failback = "auto"')
        self.standby.kill()
        wait_until(lambda: not self.understudy.endpoint(self.standby.address)["available"], 5)
        epoch = self.understudy.metric("failover_epoch", pool="app")
        self.primaries[0].kill()
        wait_until(lambda: self.understudy.events("all_down"), 5)
        self.assertEqual(self.understudy.active(), "primary")
        self.assertEqual(self.understudy.metric("failover_epoch", pool="app"), epoch)
        status, headers, _ = self.request()
        self.assertIn(status, (502, 503))
        self.assertEqual(self.understudy.get("/readyz")[0], 503)
        self.origin("s", port=self.standby.port)
        wait_until(self.on("standby"), 5)
        self.assertEqual(self.request()[2], b"hello from s")


if __name__ == "__main__":
    unittest.main(verbosity=2)
