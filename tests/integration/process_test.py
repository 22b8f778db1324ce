"""The process among its neighbours: workers, descriptors, privileges, the service manager, the end."""
import json
import os
import pwd
import resource
import signal
import socket
import stat
import subprocess
import threading
import time
import unittest

from harness import BINARY, SLOW, Story, free_port, wait_until


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


class Manager:
    """What systemd would be: a datagram socket that remembers what it was told."""

    def __init__(self, path):
        self.path, self.heard = path, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)

    def listen(self):
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def serve(self):
        while True:
            try:
                self.heard.append((time.monotonic(), self.socket.recv(4096).decode()))
            except OSError:
                return

    def said(self, text):
        return [at for at, message in self.heard if text in message]


class ProcessTest(Story):
    def setUp(self):
        super().setUp()
        self.a = self.origin("a")

    def begin(self, server="", **options):
        understudy = self.proxy(self.config([self.a.address], server=server), **options)
        self.await_healthy(understudy, self.a.address)
        return understudy

    # -- workers and descriptors

    def test_each_worker_has_a_listening_socket_of_its_own_and_all_of_them_serve(self):
        understudy = self.begin(server="workers = 4")
        with open("/proc/net/tcp") as f:
            listening = [line for line in f if line.split()[1].endswith(":%04X" % self.port) and line.split()[3] == "0A"]
        self.assertEqual(len(listening), 4)
        self.assertEqual({self.request()[0] for _ in range(40)}, {200})
        self.assertIn("4 workers", understudy.events_text())
        threads = set()
        for task in os.listdir("/proc/%d/task" % understudy.pid):
            with open("/proc/%d/task/%s/comm" % (understudy.pid, task)) as f:
                threads.add(f.read().strip())
        self.assertIn("us-files", threads)

    def test_every_descriptor_closes_on_exec(self):
        understudy = self.begin()
        kept = self.connect()
        kept.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        self.read_answer(kept)
        understudy.cli("reload")
        for fd in os.listdir("/proc/%d/fd" % understudy.pid):
            if int(fd) <= 2:
                continue
            with open("/proc/%d/fdinfo/%s" % (understudy.pid, fd)) as f:
                flags = next(int(line.split()[1], 8) for line in f if line.startswith("flags:"))
            self.assertTrue(flags & os.O_CLOEXEC, os.readlink("/proc/%d/fd/%s" % (understudy.pid, fd)))

    def test_the_descriptor_limit_is_raised_and_what_fits_is_printed(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 300))
        understudy = self.begin(server="workers = 1\nmax_connections = 5000", preexec=limit)
        text = understudy.events_text()
        self.assertIn("(300 descriptors)", text)
        fits = understudy.metric("connections_max")
        self.assertIn("%d connections at most" % fits, text)
        self.assertTrue(80 < fits < 150, fits)
        self.assertIn("max_connections is 5000, but the descriptor limit of 300 allows %d" % fits, text)

    # -- privileges

    def test_root_becomes_the_configured_user_and_can_gain_nothing_back(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        nobody = pwd.getpwnam("nobody")
        os.chmod(self.folder, 0o755)
        understudy = self.begin(server='user = "nobody"', args=())
        status = status_of(understudy.pid)
        self.assertEqual(set(status["Uid"].split()), {str(nobody.pw_uid)})
        self.assertEqual(set(status["Gid"].split()), {str(nobody.pw_gid)})
        self.assertEqual(status["Groups"].split(), [])
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[capabilities], 16), 0, capabilities)
        self.assertEqual(status["NoNewPrivs"].strip(), "1")
        for task in os.listdir("/proc/%d/task" % understudy.pid):
            self.assertEqual(set(status_of(int(task))["Uid"].split()), {str(nobody.pw_uid)}, "every thread")
        for name in ("state", "state/lock", "admin.sock"):
            self.assertEqual(os.stat(self.path(name)).st_uid, nobody.pw_uid, name)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("admin.sock")).st_mode), 0o660)
        understudy.cli("drain", self.a.address)
        wait_until(lambda: os.path.exists(self.path("state/state.json")), 5)
        understudy.cli("enable", self.a.address)
        understudy.cli("reload")
        self.assertEqual(self.request()[0], 200)
        self.assertGreater(understudy.metric("open_fds"), 5)

    def test_root_without_anybody_to_become_is_refused(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        try:
            pwd.getpwnam("understudy")
            self.skipTest("this machine has a user understudy")
        except KeyError:
            pass
        for server, want in (("", "refusing to run as root: set [server] user"), ('user = "no-such-user"', "does not exist")):
            understudy = self.proxy(self.config([self.a.address], server=server), args=(), wait=False)
            self.assertEqual(understudy.popen.wait(20 * SLOW), 1)
            self.assertIn(want, understudy.events_text())

    # -- the service manager

    def test_the_service_manager_is_told_what_happens_and_its_watchdog_is_fed(self):
        manager = Manager(self.path("notify")).listen()
        self.addCleanup(manager.socket.close)
        understudy = self.begin(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"})
        wait_until(lambda: manager.said("READY=1"), 5)
        wait_until(lambda: manager.said("STATUS=pool app: primary serves, 1/1 available"), 5)
        time.sleep(1.5)
        fed = manager.said("WATCHDOG=1")
        self.assertGreaterEqual(len(fed), 4)
        if SLOW == 1:
            self.assertLess(max(b - a for a, b in zip(fed, fed[1:])), 0.4)
        understudy.cli("reload")
        wait_until(lambda: len(manager.said("READY=1")) == 2, 5)
        begun = next(message for _, message in manager.heard if "RELOADING=1" in message)
        stamp = int(begun.split("MONOTONIC_USEC=")[1].split()[0])
        self.assertLess(abs(time.monotonic() - stamp / 1e6), 20)
        self.a.kill()
        wait_until(lambda: manager.said("0/1 available"), 5)
        understudy.signal(signal.SIGTERM)
        self.assertEqual(understudy.popen.wait(10 * SLOW), 0)
        self.assertTrue(manager.said("STOPPING=1"))
        self.assertTrue(manager.said("EXTEND_TIMEOUT_USEC="))

    def test_a_service_manager_that_does_not_listen_holds_nothing_up(self):
        manager = Manager(self.path("notify"))      # its queue takes some ten messages, then it is full
        self.addCleanup(manager.socket.close)
        understudy = self.begin(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "60000000"})
        for _ in range(15):
            understudy.cli("reload")
        self.assertEqual(self.request()[0], 200)
        manager.listen()
        wait_until(lambda: len(manager.said("READY=1")) == 16, 10)    # kept, and told in the end

    def test_sockets_of_the_service_manager_are_served(self):
        listeners = [socket.socket() for _ in range(2)]
        for s in listeners:
            s.bind(("127.0.0.1", 0))
            s.listen(64)
            self.addCleanup(s.close)
        by_name, by_address = (s.getsockname()[1] for s in listeners)
        def hand_over():
            for i, s in enumerate(listeners):
                os.dup2(os.dup(s.fileno()), 3 + i)
                os.set_inheritable(3 + i, True)
        high = [os.dup(s.fileno()) for s in listeners]      # out of the way of 3 and 4
        for fd in high:
            self.addCleanup(os.close, fd)
        config = self.config([self.a.address], server="workers = 2", port=free_port(),
                             more='[listen.other]\naddress = "127.0.0.1:%d"' % by_address)
        understudy = self.proxy(config, preexec=hand_over, pass_fds=(3, 4),
                                env={"LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:unknown"},
                                launcher=("/bin/sh", "-c", 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"', "sh"))
        for s in listeners:
            s.close()
        self.await_healthy(understudy, self.a.address)
        self.assertEqual(self.request(port=by_name)[0], 200)      # [listen.web], by FileDescriptorName
        self.assertEqual(self.request(port=by_address)[0], 200)   # [listen.other], by its address
        addresses = {l["name"]: l["address"] for l in understudy.status()["listeners"]}
        self.assertEqual(addresses["web"], "127.0.0.1:%d" % by_name)

    # -- the end

    def test_term_under_load_loses_nothing_that_was_taken(self):
        understudy = self.begin(server="workers = 2\nmax_connections_per_ip = 2000")
        stop, lost, done = threading.Event(), [], [0, 0]

        def keep_alive():       # until it is told to go elsewhere
            try:
                s = self.connect()
                while True:
                    s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
                    status, headers, _ = self.read_answer(s)
                    if status != 200:
                        lost.append(status)
                    done[0] += 1
                    if headers.get("connection") == "close":
                        return
                    time.sleep(0.005)
            except Exception as e:
                lost.append(repr(e))

        def fresh():            # until nobody listens any more
            while not stop.is_set():
                try:
                    s = socket.create_connection(("127.0.0.1", self.port), 5 * SLOW)
                except ConnectionRefusedError:
                    return
                try:
                    s.sendall(b"GET /slow?ms=30 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    if not self.read_all(s).endswith(b"slow"):
                        lost.append("cut")
                    done[1] += 1
                except OSError as e:
                    lost.append(repr(e))
                finally:
                    s.close()

        threads = [threading.Thread(target=keep_alive) for _ in range(16)] + [threading.Thread(target=fresh) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        begin = time.monotonic()
        understudy.signal(signal.SIGTERM)
        self.assertEqual(understudy.popen.wait(10 * SLOW), 0)
        self.assertLess(time.monotonic() - begin, 3 * SLOW)
        stop.set()
        for thread in threads:
            thread.join(10 * SLOW)
        self.assertEqual(lost, [])
        self.assertGreater(min(done), 100 / SLOW)

    def test_readiness_turns_before_the_listeners_close_and_a_second_interrupt_does_not_wait(self):
        understudy = self.begin(server='shutdown_lead = "1s"')
        self.assertEqual(understudy.get("/readyz")[0], 200)
        slow = self.connect()
        slow.sendall(b"GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.1)
        understudy.signal(signal.SIGINT)
        wait_until(lambda: understudy.get("/readyz")[0] == 503, 5)
        self.assertEqual(self.request()[0], 200)              # still taken
        refused = understudy.cli("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("stopping", refused.stdout + refused.stderr)
        time.sleep(1.2)
        with self.assertRaises(ConnectionRefusedError):
            self.request()
        self.assertTrue(understudy.alive())                   # for the slow one
        begin = time.monotonic()
        understudy.signal(signal.SIGINT)
        self.assertEqual(understudy.popen.wait(5 * SLOW), 0)
        self.assertLess(time.monotonic() - begin, 1 * SLOW)

    def test_the_grace_period_ends_what_does_not_end_by_itself(self):
        log = self.path("access.log")
        understudy = self.proxy(self.config([self.a.address], more='[log]\naccess = { format = "json", path = "%s" }' % log)
                                .replace('shutdown_grace = "5s"', 'shutdown_grace = "700ms"'))
        self.await_healthy(understudy, self.a.address)
        s = self.connect()
        s.sendall(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.2)
        begin = time.monotonic()
        understudy.signal(signal.SIGTERM)
        self.assertEqual(understudy.popen.wait(10 * SLOW), 0)
        self.assertAlmostEqual(time.monotonic() - begin, 0.7, delta=0.5 * SLOW)
        self.assertIn("the grace period is over", understudy.events_text())
        self.assertEqual([line["term"] for line in self.access_lines(log)], ["shutdown"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
