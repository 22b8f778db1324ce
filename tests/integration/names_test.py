"""Endpoints by name with TTL, by IPv6 address and by Unix socket."""
import http.client
import socket
import struct
import threading
import time
import unittest

from harness import SLOW, Story, free_port, wait_until


class NameServer:
    """Answers A questions from a table over UDP; None: no answer at all."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.names, self.asked, self.silent = {}, 0, False
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.socket.close()

    def serve(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            self.asked += 1
            if self.silent:
                continue
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1:at + 1 + question[at]].decode())
                at += 1 + question[at]
            kind = struct.unpack(">H", question[at + 1:at + 3])[0]
            known = self.names.get(".".join(labels).lower())
            addresses = known if known and kind == 1 else []
            flags = 0x8180 if known is not None else 0x8183
            answer = question[:2] + struct.pack(">HHHHH", flags, 1, len(addresses), 0, 0) + question[12:at + 5]
            for address in addresses:
                answer += struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)     # TTL 1 s
            self.socket.sendto(answer, peer)


class NamesTest(Story):
    def test_a_name_is_followed_at_its_ttl_and_its_last_answer_outlives_the_name_server(self):
        server = NameServer()
        self.addCleanup(server.close)
        port = free_port()
        one = self.origin("one", "--bind", "127.0.0.1", port=port)
        two = self.origin("two", "--bind", "127.0.0.2", port=port)
        server.names["app.test"] = ["127.0.0.1"]
        understudy = self.proxy(self.config(["app.test:%d" % port],
                                            more='[dns]\nservers = ["%s"]\ntimeout = "1s"' % server.address))
        wait_until(lambda: self.request()[0] == 200, 10)
        self.assertEqual(self.request()[2], b"hello from one")
        server.names["app.test"] = ["127.0.0.1", "127.0.0.2"]       # every address becomes an endpoint
        wait_until(lambda: {self.request()[2] for _ in range(8)} == {b"hello from one", b"hello from two"}, 10)
        server.names["app.test"] = ["127.0.0.2"]
        # The event tells that it has left; eight answers alike could be chance.
        wait_until(lambda: "endpoint_removed" in understudy.events_text(), 10)
        wait_until(lambda: {self.request()[2] for _ in range(8)} == {b"hello from two"}, 10)
        server.silent = True
        asked = server.asked
        wait_until(lambda: server.asked > asked + 1, 10)
        time.sleep(1.2)
        self.assertEqual(self.request()[2], b"hello from two")
        wait_until(lambda: "cannot resolve 'app.test'" in understudy.events_text(), 10)

    def test_a_name_that_does_not_resolve_stops_neither_the_start_nor_another_pool(self):
        server = NameServer()
        self.addCleanup(server.close)
        a = self.origin("a")
        config = self.config([a.address], more='[dns]\nservers = ["%s"]\n[pool.other]\nprimary = ["nowhere.test:80"]\n'
                             '[[route]]\nmatch = { path = "/other" }\npool = "other"\n[[route]]\npool = "app"' % server.address)
        understudy = self.proxy(config)
        self.await_healthy(understudy, a.address)
        self.assertEqual(self.request()[0], 200)
        self.assertEqual(self.request(path="/other")[0], 503)
        wait_until(lambda: "'nowhere.test' does not exist" in understudy.events_text(), 10)

    def test_ipv6(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            self.skipTest("this machine has no IPv6")
        six = self.origin("six", "--bind", "::1")
        port = free_port()
        understudy = self.proxy(self.config([six.address], more='[listen.six]\naddress = "[::1]:%d"' % port))
        self.await_healthy(understudy, six.address)
        self.assertEqual(self.request()[2], b"hello from six")
        connection = http.client.HTTPConnection("::1", port, timeout=5 * SLOW)
        connection.request("GET", "/headers")
        self.assertIn(b"X-Forwarded-For: ::1", connection.getresponse().read())
        connection.close()

    def test_unix_sockets_on_both_sides(self):
        path, front = self.path("origin.sock"), self.path("front.sock")
        origin = self.origin("u", "--unix", path)
        understudy = self.proxy(self.config([origin.address], more='[listen.local]\naddress = "unix:%s"' % front))
        self.await_healthy(understudy, origin.address)
        self.assertEqual(self.request()[2], b"hello from u")
        self.assertEqual(self.request("POST", "/echo", body=b"x" * 300000)[2], b"x" * 300000)
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.settimeout(5 * SLOW)
        s.connect(front)
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(self.read_answer(s)[2], b"hello from u")
        origin.kill()
        wait_until(lambda: not understudy.endpoint(origin.address)["available"], 10)
        self.assertIn(self.request()[0], (502, 503))


if __name__ == "__main__":
    unittest.main(verbosity=2)
