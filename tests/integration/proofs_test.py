"""What is asked of endpoints besides their checks: agents that tell their load, and copies of real requests to a standby."""
import collections
import itertools
import socket
import threading
import time
import unittest

from harness import Story, wait_until
from raw_origin import RawOrigin, read_head

CHECK = 'path = "/healthz"\ninterval = "200ms"\ntimeout = "1s"\nfall = 2\nrise = 2\n'


class Agent:
    """Answers every connection with its line."""

    def __init__(self, ip, port=0):
        self.line, self.heard = b"100%\n", []
        self.socket = socket.create_server((ip, port))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(1)
                try:
                    self.heard.append(peer.recv(100))
                    peer.sendall(self.line)
                except OSError:
                    pass

    def stop(self):
        self.socket.close()


class ProofsTest(Story):
    def spread(self, requests=60):
        return collections.Counter(self.request()[2] for _ in range(requests))

    def test_an_agent_sets_the_weight_and_takes_its_endpoint_out_and_in(self):
        p1, p2 = self.origin("p1"), self.origin("p2", "--bind", "127.0.0.2")
        a1 = Agent("127.0.0.1")
        a2 = Agent("127.0.0.2", a1.port)
        self.addCleanup(a1.stop)
        self.addCleanup(a2.stop)
        check = CHECK + f'agent_port = {a1.port}\nagent_send = "load?"\n'
        proxy = self.proxy(self.config([p1.address, p2.address], check=check, pool='balance = "round_robin"\n'))
        self.await_healthy(proxy, p1.address, p2.address)
        wait_until(lambda: a1.heard and a2.heard, 10)
        self.assertEqual(a1.heard[0], b"load?\n")

        a1.line = b"25% # batch job\n"
        wait_until(lambda: proxy.endpoint(p1.address)["weight"] == 0.25, 10)
        got = self.spread()
        self.assertLess(got[b"hello from p1"], 20, got)
        self.assertGreater(got[b"hello from p1"], 4, got)
        self.assertIn("25 % of its weight (batch job)", " ".join(proxy.cli("status").stdout.split()))

        a1.line = b"drain\n"
        wait_until(lambda: not proxy.endpoint(p1.address)["available"], 10)
        self.assertEqual(self.spread(20), {b"hello from p2": 20})
        event = wait_until(lambda: [e for e in proxy.events("agent") if "says drain" in e["reason"]], 10)[0]
        self.assertIn("it gets no new requests", event["reason"])

        a1.line = b"ready 100%\n"
        wait_until(lambda: proxy.endpoint(p1.address)["available"], 10)
        a2.line = b"down#disk full\n"
        wait_until(lambda: not proxy.endpoint(p2.address)["available"], 10)
        self.assertEqual(self.spread(20), {b"hello from p1": 20})
        self.assertEqual(proxy.endpoint(p2.address)["agent"]["reason"], "disk full")

        a2.line = b"load=30\n"      # not understood: what was said before stands, and that is told
        event = wait_until(lambda: [e for e in proxy.events("agent") if "load=30" in e["reason"]], 10)[0]
        self.assertFalse(proxy.endpoint(p2.address)["available"])
        a2.line = b"up\n"
        wait_until(lambda: proxy.endpoint(p2.address)["available"], 10)
        a2.stop()                   # no answer is no evidence
        wait_until(lambda: proxy.endpoint(p2.address)["agent"]["complaint"], 10)
        self.assertTrue(proxy.endpoint(p2.address)["available"])

    def test_the_answer_to_the_check_may_carry_the_words(self):
        p1 = self.origin("p1")
        proxy = self.proxy(self.config([p1.address], check=CHECK.replace("/healthz", "/data") + 'agent_header = "X-Data-Version"\n'))
        # /data says "X-Data-Version: 1", which is no word: told, and the check passes all the same.
        wait_until(lambda: [e for e in proxy.events("agent") if "the word '1'" in e["reason"]], 10)
        self.assertTrue(proxy.endpoint(p1.address)["available"])

    def test_copies_of_real_requests_find_a_standby_that_fails_them(self):
        record = self.path("record")
        p1, s1 = self.origin("p1"), self.origin("s1", "--record", record)
        config = self.config([p1.address], check=CHECK, pool=f'standby = ["{s1.address}"]\nfailover = {{ mirror = "100%" }}\n')
        proxy = self.proxy(config)
        self.await_healthy(proxy, p1.address, s1.address)

        clients = itertools.count(1)

        def ask(path="/hello", headers=None):
            source = f"127.0.1.{next(clients) % 250 + 1}"   # each address has one copied in a second at most
            self.assertIn(self.request(path=path, headers=headers, source=source)[0], (200, 404))
            time.sleep(0.06)   # a worker copies one in 50 ms at most

        for _ in range(30):
            ask()
        self.assertEqual(self.request("POST", "/post", headers={"X-Id": "never"}, body=b"x")[0], 200)
        fitness = proxy.endpoint(s1.address)["fitness"]
        self.assertGreaterEqual(fitness["mirrored"], 20)
        self.assertEqual(fitness["mirrored_differently"], 0)
        self.assertEqual(fitness["verdict"], "fit", fitness)
        self.assertEqual(proxy.metric("mirrored_requests_total", endpoint=s1.address, result="same"), fitness["mirrored"])
        with open(record) as f:
            self.assertNotIn("never", f.read(), "only safe requests are copied")

        self.assertEqual(self.request(path="/mood?errors=100", port=s1.port)[0], 200)
        for _ in range(40):
            ask()
        event = wait_until(lambda: proxy.events("endpoint_unfit"), 10)[0]
        self.assertIn("answered 500 where 200 was right", event["reason"])
        self.assertTrue(proxy.endpoint(s1.address)["available"], "its health page is green")
        self.assertEqual(proxy.active(), "primary")
        self.assertEqual(self.spread(20), {b"hello from p1": 20})

    def test_one_client_cannot_speak_against_a_standby(self):
        """Conditional and partial reads, empty chunked bodies, refusals of our own, and many requests from one address."""
        copies = []

        def serving(peer, head):
            while head:
                first = head.split(b"\r\n")[0]
                if b" /busy " in first:
                    peer.sendall(b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n")
                else:
                    if b"chunked" in head.lower():
                        peer.recv(100)
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                head = read_head(peer)

        def standing_by(peer, head):
            while head:
                if b"understudy-mirror: 1" in head.lower():
                    copies.append(head)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                head = read_head(peer)
        p1, s1 = RawOrigin(serving), RawOrigin(standing_by)
        self.addCleanup(p1.stop)
        self.addCleanup(s1.stop)
        pool = f'standby = ["{s1.address}"]\nfailover = {{ mirror = "100%" }}\n'
        proxy = self.proxy(self.config([p1.address], check=CHECK, server="workers = 1", pool=pool))
        self.await_healthy(proxy, p1.address, s1.address)

        hostile = [("/r", {"Range": "bytes=0-0"}), ("/i", {"If-None-Match": '"x"'}), ("/m", {"if-Modified-since": "x"}),
                   ("/busy", {})]
        for turn in range(40):
            path, headers = hostile[turn % 4]
            self.request(path=path, headers=headers, source=f"127.0.1.{turn + 1}")
            with self.connect() as client:
                client.sendall(b"GET /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
                self.assertEqual(self.read_answer(client)[0], 200)
            time.sleep(0.06)
        # One that is copied, so that nothing is on its way any more.
        self.request(path="/last", source="127.0.2.1")
        wait_until(lambda: copies, 10)
        self.assertEqual([head.split(b" ")[1] for head in copies], [b"/last"])

        began = time.monotonic()
        for _ in range(30):
            self.request(path="/one", source="127.0.3.1")
            time.sleep(0.06)
        most = int(time.monotonic() - began) + 1
        self.request(path="/end", source="127.0.4.1")
        wait_until(lambda: copies[-1].startswith(b"GET /end"), 10)
        one = [head for head in copies if head.startswith(b"GET /one")]
        self.assertTrue(1 <= len(one) <= most, (len(one), most))
        self.assertEqual(proxy.endpoint(s1.address)["fitness"]["mirrored_differently"], 0)

    def test_a_standby_that_hangs_holds_few_copies_and_the_others_get_theirs(self):
        copies = []

        def serving(peer, head):
            while head:
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                head = read_head(peer)

        def hanging(peer, head):
            peer.settimeout(60)
            peer.recv(1)   # until the proxy gives up

        def standing_by(peer, head):
            copies.append(head)
            serving(peer, head)
        p1, s1, s2 = RawOrigin(serving), RawOrigin(hanging), RawOrigin(standing_by)
        for origin in (p1, s1, s2):
            self.addCleanup(origin.stop)
        pool = f'standby = ["{s1.address}", "{s2.address}"]\nfailover = {{ mirror = "100%" }}\n'
        proxy = self.proxy(self.config([p1.address], check=CHECK, server="workers = 1", pool=pool))
        self.await_healthy(proxy, p1.address, s1.address, s2.address)
        clients = itertools.count(1)

        def dropped():
            self.request(source=f"127.0.1.{next(clients) % 250 + 1}")
            time.sleep(0.05)
            self.assertLessEqual(proxy.metric("mirror_copies_under_way"), 10, "eight that hang, and what is on its way")
            return proxy.metric("mirror_copies_dropped_total", reason="endpoint")
        wait_until(dropped, 30)
        had = len(copies)
        wait_until(lambda: dropped() and len(copies) >= had + 10, 30)
        self.assertEqual(proxy.metric("mirror_copies_dropped_total", reason="all"), 0)
        # What hangs is given up after a few seconds, though a client would wait for half a minute: that is evidence.
        wait_until(lambda: dropped() and (proxy.endpoint(s1.address)["fitness"] or {}).get("verdict") == "unfit", 40)
        self.assertEqual(proxy.endpoint(s2.address)["fitness"]["mirrored_differently"], 0)

    def test_a_copy_is_marked_and_is_the_request_as_it_was_sent(self):
        p1 = self.origin("p1")
        seen = []
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def serve():
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.settimeout(1)
                    try:
                        seen.append(peer.recv(4096))
                        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    except OSError:
                        pass
        threading.Thread(target=serve, daemon=True).start()
        pool = f'standby = ["127.0.0.1:{server.getsockname()[1]}"]\nfailover = {{ mirror = "100%" }}\n'
        proxy = self.proxy(self.config([p1.address], check=CHECK, pool=pool))
        self.await_healthy(proxy, p1.address)

        def copied():
            self.request(path="/hello?x=1", headers={"X-Mine": "yes", "Host": "shop.example.org"})
            return [head for head in seen if b"Understudy-Mirror: 1\r\n" in head]
        head = wait_until(copied, 20)[0]
        self.assertTrue(head.startswith(b"GET /hello?x=1 HTTP/1.1\r\n"), head)
        for field in (b"host: shop.example.org", b"x-mine: yes", b"x-forwarded-for: 127.0.0.1"):
            self.assertIn(field, head.lower())
        self.assertTrue(head.endswith(b"\r\n\r\n"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
