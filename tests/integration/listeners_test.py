"""Listeners over reloads and the end: renamed, exchanged, on Unix paths, and on ports that only root may open."""
import os
import signal
import socket
import time
import unittest

from harness import SLOW, Story, free_port, wait_until
from load import Load


class RenameTest(Story):
    def setUp(self):
        super().setUp()
        self.a = self.origin("a")

    def ask(self, s):
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        return self.read_answer(s)[0]

    def names(self, understudy):
        return {l["name"]: l["address"] for l in understudy.status()["listeners"]}

    def rename_under_load(self, workers):
        configs = [self.config([self.a.address], server="workers = %d" % workers).replace("[listen.web]", "[listen.%s]" % name)
                   for name in ("web", "front")]
        understudy = self.proxy(configs[0])
        self.await_healthy(understudy, self.a.address)
        kept = [self.connect() for _ in range(8)]       # several, to be on every worker
        self.assertEqual({self.ask(s) for s in kept}, {200})
        load = Load(self.port, gets=80, posts=80, sockets=20).start()
        wait_until(lambda: load.sockets_open == 20, 10)
        for i in range(10):
            understudy.write(configs[(i + 1) % 2])
            understudy.cli("reload")
            self.assertEqual({self.ask(s) for s in kept}, {200})
            self.assertEqual(self.request()[0], 200)
        understudy.write(configs[1])
        understudy.cli("reload")
        load.stop()
        self.assertEqual([r for r in load.results if r[3] != 200], [])
        self.assertEqual(load.socket_losses, [])
        self.assertGreater(len(load.results), 50)
        self.assertEqual({self.ask(s) for s in kept}, {200})
        self.assertEqual(self.names(understudy), {"front": "127.0.0.1:%d" % self.port})
        self.assertGreaterEqual(understudy.metric("connections", listener="front"), 8)
        wait_until(lambda: understudy.metric("requests_total", listener="front") > 8)

    def test_a_new_name_loses_nothing_with_one_worker(self):
        self.rename_under_load(1)

    def test_a_new_name_loses_nothing_with_several_workers(self):
        self.rename_under_load(4)

    def test_two_listeners_exchange_their_addresses(self):
        ports = [free_port(), free_port()]
        def config(first, second):
            return self.config([self.a.address], port=first, more='[listen.other]\naddress = "127.0.0.1:%d"\n' % second)
        understudy = self.proxy(config(*ports))
        self.await_healthy(understudy, self.a.address)
        kept = [self.connect(port) for port in ports]
        self.assertEqual([self.ask(s) for s in kept], [200, 200])
        understudy.write(config(*reversed(ports)))
        understudy.cli("reload")
        self.assertEqual(self.names(understudy), {"web": "127.0.0.1:%d" % ports[1], "other": "127.0.0.1:%d" % ports[0]})
        self.assertEqual([self.ask(s) for s in kept], [200, 200])
        self.assertEqual([self.request(port=port)[0] for port in ports], [200, 200])


class UnixTest(Story):
    def setUp(self):
        super().setUp()
        self.a = self.origin("a")
        self.front = self.path("front.sock")

    def with_front(self, path=None, name="local"):
        return self.config([self.a.address], more='[listen.%s]\naddress = "unix:%s"' % (name, path or self.front))

    def begin(self, **options):
        understudy = self.proxy(self.with_front(), **options)
        self.await_healthy(understudy, self.a.address)
        return understudy

    def ask(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5 * SLOW)
            s.connect(self.front)
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            return self.read_answer(s)[0]

    def test_the_file_goes_with_its_listener(self):
        understudy = self.begin()
        self.assertEqual(self.ask(), 200)
        understudy.write(self.with_front(name="renamed"))
        understudy.cli("reload")
        self.assertEqual(self.ask(), 200)
        understudy.write(self.config([self.a.address]))
        understudy.cli("reload")
        self.assertFalse(os.path.lexists(self.front))

    def test_the_file_goes_at_a_stop_and_a_refused_reload_leaves_none(self):
        understudy = self.begin()
        second = self.path("second.sock")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            understudy.write(self.with_front() + '\n[listen.a]\naddress = "unix:%s"\n[listen.b]\naddress = "127.0.0.1:%d"\n' % (second, taken.getsockname()[1]))
            self.assertEqual(understudy.cli("reload", check=False).returncode, 1)
        self.assertFalse(os.path.lexists(second))
        self.assertEqual(self.ask(), 200)
        understudy.signal(signal.SIGTERM)
        self.assertEqual(understudy.popen.wait(10 * SLOW), 0)
        self.assertFalse(os.path.lexists(self.front))

    def test_a_file_that_somebody_else_put_there_stays(self):
        understudy = self.begin()
        os.unlink(self.front)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.front)
            other.listen()
            understudy.write(self.config([self.a.address]))
            understudy.cli("reload")
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.front)
            understudy.signal(signal.SIGTERM)
            self.assertEqual(understudy.popen.wait(10 * SLOW), 0)
            self.assertTrue(os.path.lexists(self.front))

    def test_an_inherited_one_belongs_to_who_passed_it(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.front)
            s.listen(64)
            high = os.dup(s.fileno())
            self.addCleanup(os.close, high)
            def hand_over():
                os.dup2(high, 3)
                os.set_inheritable(3, True)
            understudy = self.begin(preexec=hand_over, pass_fds=(3,), env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "local"},
                                    launcher=("/bin/sh", "-c", 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"', "sh"))
            self.assertEqual(self.ask(), 200)
            understudy.signal(signal.SIGTERM)
            self.assertEqual(understudy.popen.wait(10 * SLOW), 0)
            self.assertTrue(os.path.lexists(self.front))


class LowPortTest(Story):
    def test_a_port_that_came_too_late_for_root_is_refused_with_the_way_out(self):
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as f:
            if os.geteuid() != 0 or int(f.read()) <= 1023:
                self.skipTest("needs root, and ports that only root may open")
        a = self.origin("a")
        os.chmod(self.folder, 0o755)
        understudy = self.proxy(self.config([a.address], server='user = "nobody"'), args=())
        self.await_healthy(understudy, a.address)
        understudy.write(self.config([a.address], server='user = "nobody"', more='[listen.low]\naddress = "127.0.0.1:1023"\n'))
        refused = understudy.cli("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        for word in ("listen.low", "gave up root when it started", "restart it", "CAP_NET_BIND_SERVICE"):
            self.assertIn(word, refused.stdout + refused.stderr)
        self.assertIn("gave up root", understudy.events_text())
        self.assertEqual(self.request()[0], 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
