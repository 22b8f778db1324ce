"""A binary upgrade (SIGUSR2) under load: no request is lost, tunnels leave at their configured pace, the new process knows what the old one
knew; and a new program that cannot serve changes nothing."""
import collections
import http.client
import json
import os
import signal
import socket
import ssl
import time
import unittest

from harness import SLOW, Story, certificate, client_tls, free_port, wait_until
from departure_test import CHECK, Fleet
from load import Load


class Follower:
    """A process that we did not start ourselves, but our proxy did: ended by its id."""

    def __init__(self, pid):
        self.pid = pid

    def alive(self):
        try:
            with open("/proc/%d/stat" % self.pid) as f:
                return f.read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def kill(self):
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
            wait_until(lambda: not self.alive())


class UpgradeTest(Story):
    def serve(self, primary, standby=(), workers=2, more="", listen="", **options):
        understudy = self.proxy(self.config(
            [o.address for o in primary], [o.address for o in standby], check=CHECK, listen=listen, server="workers = %d\nmax_connections_per_ip = 2000\n" % workers,
            more='[[route]]\npool = "app"\nwebsocket = { close_over = "4s" }\n' + more, pool='[pool.app.failover]\nfailback = "manual"\n'), **options)
        self.await_healthy(understudy, *[o.address for o in [*primary, *standby]])
        return understudy

    def pid(self, understudy):
        return understudy.status()["process"]["pid"]

    def upgrade(self, understudy, old):
        os.kill(old, signal.SIGUSR2)
        def another():
            try:
                pid = self.pid(understudy)
            except OSError:
                return None
            return pid if pid != old else None
        follower = Follower(wait_until(another, 20))
        self.addCleanup(follower.kill)
        # For a moment both take from the admin socket: until the old one has heard that the new one serves.
        wait_until(lambda: "process %d serves from now on" % follower.pid in understudy.events_text(), 20)
        return follower

    def test_no_request_is_lost_and_tunnels_leave_at_their_pace(self):
        primary, standby = self.origin("p"), self.origin("s")
        understudy = self.serve([primary], [standby])
        understudy.cli("failover", "app", "--to", "standby")
        understudy.cli("drain", primary.address)
        wait_until(lambda: understudy.active() == "standby")
        epoch = understudy.status()["pools"][0]["epoch"]
        fleet = Fleet(self, 200)
        with_load = Load(self.port, gets=100, posts=50)
        with_load.start()
        fleet.run(1)
        understudy.cli("reload")
        fleet.run(1)
        self.assertEqual(len(fleet.open()), 200)
        began = time.monotonic()
        follower = self.upgrade(understudy, understudy.pid)
        # What the operator said and where traffic went is known to the new one.
        self.assertEqual(understudy.active(), "standby")
        self.assertEqual(understudy.endpoint(primary.address)["operator"], "draining")
        self.assertGreater(understudy.status()["pools"][0]["epoch"], epoch)
        fleet.run(15 * SLOW, until=lambda: not fleet.open())
        with_load.stop()
        self.assertEqual(with_load.failed("GET") + with_load.failed("POST"), [])
        self.assertGreater(len(with_load.results), 500)
        self.assertEqual({(d.closed or (0, 0, b""))[1] for d in fleet.devices}, {1012})
        self.assertEqual([d.rest for d in fleet.devices if d.rest], [])
        times = sorted(d.closed[0] for d in fleet.devices)
        self.assertGreater(times[-1] - times[0], 3)
        quarters = [sum(1 for t in times if times[0] + q * 0.8 <= t < times[0] + (q + 1) * 0.8) for q in range(5)]
        self.assertLess(max(quarters), 70)      # 40 each
        wait_until(lambda: not understudy.alive(), 20)
        self.assertEqual(understudy.popen.returncode, 0)
        self.assertLess(time.monotonic() - began, 30 * SLOW)
        # The new one is a process like any other: tunnels, reload, and another upgrade.
        again = Fleet(self, 5)
        understudy.cli("reload")
        next_one = self.upgrade(understudy, follower.pid)
        again.run(15 * SLOW, until=lambda: not again.open())
        wait_until(lambda: not follower.alive(), 20)
        self.assertEqual(self.request(path="/x")[0], 200)
        os.kill(next_one.pid, signal.SIGTERM)
        wait_until(lambda: not next_one.alive(), 20)
        self.assertFalse(os.path.exists(self.path("admin.sock")))

    def test_a_new_program_that_cannot_serve_changes_nothing(self):
        primary = self.origin("p")
        understudy = self.serve([primary])
        fleet = Fleet(self, 10)
        good = open(understudy.path).read()
        understudy.write(good + "\nnonsense = 1\n")
        understudy.signal(signal.SIGUSR2)
        wait_until(lambda: "binary upgrade failed" in understudy.events_text())
        self.assertIn("exit code 1", understudy.events_text())
        self.assertIn("unknown key 'nonsense'", understudy.events_text())
        self.assertIn("this process goes on serving", understudy.events_text())
        self.assertEqual(self.pid(understudy), understudy.pid)
        self.assertEqual(understudy.metric("binary_upgrades_failed_total"), 1)
        fleet.run(0.5)
        self.assertEqual(len(fleet.open()), 10)
        self.assertEqual(self.tally(20), {"p": 20})
        # It can be tried again, and the state is still kept by the one that serves.
        understudy.write(good)
        understudy.cli("drain", primary.address)
        follower = self.upgrade(understudy, understudy.pid)
        wait_until(lambda: not understudy.alive(), 20)
        self.assertEqual(understudy.endpoint(primary.address)["operator"], "draining")
        self.assertTrue(follower.alive())

    def order(self, understudy, path, **body):
        """(status, answer, fields) of one order at the admin API; None when nobody answered it."""
        data = json.dumps(body).encode()
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(20 * SLOW)
                s.connect(understudy.admin[5:])
                s.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nX-Understudy: 1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                          b"Connection: close\r\n\r\n%s" % (path.encode(), len(data), data))
                answer = http.client.HTTPResponse(s)
                answer.begin()
                return answer.status, json.loads(answer.read()), dict(answer.getheaders())
        except (OSError, http.client.HTTPException):
            return None

    def held_up(self, text):
        """The same configuration with an endpoint that says nothing: a new process waits for its verdict before it serves, 5 s at most."""
        return text.replace('timeout = "500ms"', 'timeout = "20s"\nat_start = "wait 20s"').replace('interval = "200ms"', 'interval = "20s"') \
            .replace('primary = [', 'primary = ["%s", ' % self.blackhole())

    def test_an_order_while_the_new_process_takes_over_is_refused_with_a_word(self):
        primary, other = self.origin("p"), self.origin("o")
        understudy = self.serve([primary, other])
        understudy.write(self.held_up(open(understudy.path).read()))
        understudy.cli("drain", other.address)
        understudy.signal(signal.SIGUSR2)
        wait_until(lambda: "orders and reloads are refused until it serves or has failed" in understudy.events_text())
        refused = understudy.cli("drain", primary.address, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("refused (503): A binary upgrade is under way", refused.stderr)
        self.assertIn("a new process is taking over and would not know of this; ask again in a moment", refused.stderr)
        for path, body in (("hold", {"pool": "app"}), ("reload", {}), ("maintenance", {"pool": "app", "on": True})):
            status, answer, fields = self.order(understudy, "/api/v1/" + path, **body)
            self.assertEqual((status, fields["Retry-After"]), (503, "1"), answer)
        self.assertEqual(self.pid(understudy), understudy.pid, "who reads is answered")
        self.assertEqual(understudy.endpoint(primary.address)["operator"], "enabled")
        self.assertEqual(understudy.cli("logs", "reopen").returncode, 0)
        understudy.signal(signal.SIGHUP)
        self.assertNotIn("configuration reloaded", understudy.events_text())
        def another():
            try:
                return self.pid(understudy) not in (understudy.pid, None)
            except OSError:
                return None
        wait_until(another, 30)
        follower = Follower(self.pid(understudy))
        self.addCleanup(follower.kill)
        wait_until(lambda: not understudy.alive(), 20)
        # What was passed on came to the new one, what was refused is known to nobody, and can be ordered now.
        wait_until(lambda: "configuration reloaded" in understudy.events_text())
        self.assertEqual(understudy.events_text().count("logs reopened"), 2)
        self.assertEqual(understudy.endpoint(other.address)["operator"], "draining")
        self.assertEqual(understudy.endpoint(primary.address)["operator"], "enabled")
        understudy.cli("drain", primary.address)
        self.assertEqual(understudy.endpoint(primary.address)["operator"], "draining")

    def test_no_order_that_was_taken_is_lost(self):
        """Orders all the time while one process after another takes over: what the last accepted one said is what holds."""
        origins = [self.origin(name) for name in ("a", "b")]
        understudy = self.serve(origins)
        # In memory alone: nothing can be found on a disk.
        understudy.cli("stop")
        understudy.popen.wait(20)
        understudy = self.proxy(open(understudy.path).read().replace('state_dir = "%s/state"' % self.folder, 'state_dir = "none"'))
        self.await_healthy(understudy, *[o.address for o in origins])
        tally, accepted, turns = collections.Counter(), {}, iter(range(1000000))
        def give_orders(enough):
            while not enough():
                turn = next(turns)
                address = origins[turn % 2].address
                state = ("enabled", "draining", "disabled", "held")[turn // 2 % 4]
                answer = self.order(understudy, "/api/v1/endpoints/%s/state" % address, state=state, reason="order %d" % turn)
                tally[answer and answer[0]] += 1
                if answer is None:
                    accepted[address] = None          # nobody knows whether it was heard
                elif answer[0] == 200:
                    accepted[address] = state

        good, pid = open(understudy.path).read(), understudy.pid
        for text in (self.held_up(good), good, good):
            understudy.write(text)
            give_orders(lambda seen=sum(tally.values()): sum(tally.values()) >= seen + 20)
            os.kill(pid, signal.SIGUSR2)
            # The last ones come before the new process serves, where that takes its time.
            give_orders(lambda seen=sum(tally.values()): sum(tally.values()) >= seen + 31)
            def another():
                try:
                    return self.pid(understudy) != pid and "process %d serves from now on" % self.pid(understudy) in understudy.events_text()
                except OSError:
                    return None
            wait_until(another, 30)
            follower = Follower(self.pid(understudy))
            self.addCleanup(follower.kill)
            pid = follower.pid
            known = {address: understudy.endpoint(address)["operator"] for address, state in accepted.items() if state is not None}
            self.assertEqual(known, {address: state for address, state in accepted.items() if state is not None})
            self.assertTrue(known)
        print("orders by answer: %s" % dict(tally), flush=True)
        self.assertLessEqual(set(tally), {200, 503, None})
        self.assertGreater(tally[503], 0)

    def test_tls_sessions_are_resumed_with_the_new_process(self):
        primary = self.origin("p")
        pair = certificate(self.folder, "one.example")
        self.port = free_port()
        understudy = self.serve([primary], listen='tls = [{ certificate = "%s", key = "%s" }]' % pair)
        context = client_tls(pair[0])

        def visit(version, session=None):
            """(session for the next visit, was it resumed); over one request, as a ticket of TLS 1.3 comes behind the handshake."""
            context.minimum_version = context.maximum_version = version
            with socket.create_connection(("127.0.0.1", self.port), timeout=10 * SLOW) as raw, \
                    context.wrap_socket(raw, server_hostname="one.example", session=session) as s:
                s.sendall(b"GET /x HTTP/1.1\r\nHost: one.example\r\n\r\n")
                self.assertEqual(self.read_answer(s)[0], 200)
                return s.session, s.session_reused

        versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
        first = {version: visit(version)[0] for version in versions}
        self.assertEqual(understudy.metric("tls_handshakes_total", result="resumed"), 0)
        pid, followers = understudy.pid, []
        for _ in range(2):
            followers.append(self.upgrade(understudy, pid))
            pid = followers[-1].pid
            wait_until(lambda: not understudy.alive(), 20)
            for version in versions:
                self.assertTrue(visit(version, first[version])[1], version)
                self.assertTrue(visit(version, visit(version)[0])[1], version)
        wait_until(lambda: not followers[0].alive(), 20)
        self.assertEqual(understudy.metric("tls_handshakes_total", result="resumed"), 4)
        # A process that was started by nobody has keys of its own.
        followers[-1].kill()
        understudy = self.proxy(open(understudy.path).read())
        self.await_healthy(understudy, primary.address)
        for version in versions:
            self.assertFalse(visit(version, first[version])[1], version)

    def test_the_service_manager_is_told_who_serves(self):
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(notify.close)
        path = self.path("notify")
        notify.bind(path)
        notify.settimeout(20 * SLOW)
        primary = self.origin("p")
        understudy = self.serve([primary], env={"NOTIFY_SOCKET": path})
        follower = self.upgrade(understudy, understudy.pid)
        said = ""
        while "MAINPID=%d" % follower.pid not in said:
            said += notify.recv(4096).decode() + "\n"
        wait_until(lambda: not understudy.alive(), 20)
        notify.setblocking(False)
        try:
            while True:
                said += notify.recv(4096).decode() + "\n"
        except BlockingIOError:
            pass
        self.assertNotIn("STOPPING=1", said)

    def test_a_changed_worker_count_and_a_listener_that_is_gone(self):
        primary = self.origin("p")
        understudy = self.serve([primary], workers=1, more='[listen.other]\naddress = "unix:%s"\n' % self.path("web.sock"))
        config = open(understudy.path).read()
        for workers in (3, 2):
            understudy.write(config.replace("workers = 1", "workers = %d" % workers))
            old = self.pid(understudy)
            follower = self.upgrade(understudy, old)
            self.assertEqual(understudy.status()["process"]["workers"], workers)
            wait_until(lambda: not Follower(old).alive(), 20)
            for _ in range(30):
                self.assertEqual(self.request(path="/x")[0], 200)
            self.assertTrue(os.path.exists(self.path("web.sock")))
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.path("web.sock"))
                s.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                self.assertTrue(self.read_all(s).startswith(b"HTTP/1.1 200"))
        understudy.write(config.split("[listen.other]")[0])
        self.upgrade(understudy, follower.pid)
        wait_until(lambda: not follower.alive(), 20)
        self.assertEqual(self.request(path="/x")[0], 200)
        with socket.socket(socket.AF_UNIX) as s, self.assertRaises(ConnectionRefusedError):
            s.connect(self.path("web.sock"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
