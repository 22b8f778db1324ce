"""What is said around the loss of an endpoint: a client that floods, words that a slow client has not taken yet, and a client that says its
last ones while there is no endpoint. Whatever is not told on is counted."""
import socket
import threading
import time
import unittest

from harness import SLOW, wait_until
from frames_test import close, frame
from parked_story import ParkedStory, said


class ParkedWordsTest(ParkedStory):
    def parked(self):
        return self.understudy.metric("websocket_sessions_parked")

    def at_risk(self):
        return self.understudy.metric("messages_at_risk_total")

    def lose(self):
        self.understudy.cli("disable", self.address)
        wait_until(lambda: self.parked() == 1)

    def resumed(self):
        return self.understudy.metric("websocket_parking_ended_total", result="resumed") == 1

    def served(self):
        """Others are, at once."""
        begin = time.monotonic()
        self.request(timeout=10)
        self.assertLess(time.monotonic() - begin, 0.5 * SLOW)

    def test_a_client_that_floods_with_pings_while_it_is_parked_takes_its_share_and_no_more(self):
        client = self.scripted([lambda wire: wire.read()], websocket='park_timeout = "60s"')
        self.lose()
        over = threading.Event()
        def flood():
            pings = frame(9, b"", True) * 100000
            try:
                while not over.is_set():
                    client.socket.send(pings)
            except OSError:
                pass
        thread = threading.Thread(target=flood)
        thread.start()
        try:
            time.sleep(0.5)
            for _ in range(5):
                self.served()
        finally:
            over.set()
            client.socket.shutdown(socket.SHUT_RDWR)
            thread.join(10)

    def test_what_an_endpoint_half_closed_is_not_parked(self):
        go = threading.Event()
        def first(wire):
            wire.text()
            go.wait(10 * SLOW)
            wire.socket.shutdown(socket.SHUT_WR)      # it has said all, and listens on
            while wire.read():
                pass
        client = self.scripted([first], websocket='idle_timeout = "1h"')
        understudy = self.understudy
        client.socket.sendall(said(b"hello"))
        with open(understudy.path) as f:
            text = f.read()
        def reload(config):
            understudy.write(config)
            understudy.cli("reload")
        reload(text.replace('"resume"', '"close"'))
        go.set()
        self.assertIsNone(client.read())              # FIN came through
        reload(text)
        understudy.cli("disable", self.address)
        try:
            client.socket.sendall(frame(9, b"there?", True))
        except OSError:
            pass
        wait_until(lambda: understudy.metric("websocket_sessions") == 0)
        self.assertEqual(understudy.metric("websocket_sessions_parked_total", reason="endpoint_disabled"), 0)
        self.served()
        cpu = understudy.cpu()
        time.sleep(1)
        self.assertLess(understudy.cpu() - cpu, 0.5)

    # ---- of an endpoint that a slow client has not heard yet

    NUMBER, SIZE = 8000, 1000

    def stalled(self, count):
        """What is on its way has come as far as it goes."""
        def settled():
            before = count[0]
            time.sleep(0.5)
            return before > 0 and count[0] == before
        wait_until(settled, 20)

    def heard_to_the_end(self, verb):
        count, answers = [0], []
        def talks(wire):
            wire.socket.settimeout(20 * SLOW)
            for i in range(self.NUMBER):
                wire.socket.sendall(frame(1, b"A%05d" % i + b"a" * self.SIZE))
                count[0] = i + 1
            answers.append(wire.read())
            wire.socket.sendall(close(1001))
        def next_one(wire):
            for i in range(3):
                wire.socket.sendall(frame(1, b"B%05d" % i))
            wire.read()
        client = self.scripted([talks, next_one], websocket='park_timeout = "20s", close_over = "1s"', slow=True)
        self.stalled(count)
        self.understudy.cli(verb, self.address)
        wait_until(lambda: self.understudy.metric("websocket_sessions_parked_total") == 1)
        self.understudy.cli("enable", self.address)
        heard = []
        while len(heard) < self.NUMBER + 3:
            heard.append(client.text()[:6])
        self.assertEqual(heard, [b"A%05d" % i for i in range(self.NUMBER)] + [b"B%05d" % i for i in range(3)])
        self.assertEqual((answers[0][1], answers[0][2][:2]), (8, b"\x03\xe9"))     # it was told that it is left
        self.assertEqual(self.at_risk(), 0)

    def test_all_that_a_drained_endpoint_has_said_is_heard_before_the_next_one(self):
        self.heard_to_the_end("drain")

    def test_all_that_a_disabled_endpoint_that_lives_has_said_is_heard_before_the_next_one(self):
        self.heard_to_the_end("disable")

    def test_what_a_slow_client_is_not_told_any_more_is_counted(self):
        count = [0]
        def talks(wire):
            wire.socket.settimeout(5 * SLOW)
            try:
                for i in range(self.NUMBER):
                    wire.socket.sendall(frame(1, b"A%05d" % i + b"a" * self.SIZE))
                    count[0] = i + 1
                wire.read()
            except OSError:
                pass
        client = self.scripted([talks], websocket='park_timeout = "1s"', slow=True)
        self.stalled(count)
        self.lose()
        wait_until(lambda: self.understudy.metric("websocket_parking_ended_total", result="late") == 1)
        heard = 0
        while (seen := client.read()) is not None and seen[1] == 1:
            heard += 1
        self.assertGreater(count[0], heard)
        # What the endpoint's machine had not sent yet is known to nobody.
        self.assertGreater(self.at_risk(), 0)
        self.assertLessEqual(self.at_risk(), count[0] + 1 - heard)

    def test_the_next_endpoints_long_greeting_waits_for_a_slow_client(self):
        count = [0]
        def talks(wire):
            for i in range(self.NUMBER):
                wire.socket.sendall(frame(1, b"A%05d" % i + b"a" * self.SIZE))
                count[0] = i + 1
                if i == 40:
                    break
            wire.read()
        greeting = [b"B%05d" % i + b"b" * self.SIZE for i in range(55)]
        def next_one(wire):
            wire.read()
        next_one.greeting = b"".join(frame(1, g) for g in greeting)
        client = self.scripted([talks, next_one], websocket='park_timeout = "10s"', slow=True)
        self.stalled(count)
        self.lose()
        self.understudy.cli("enable", self.address)
        wait_until(self.resumed)
        time.sleep(0.3)
        heard = [client.text()[:6] for _ in range(41 + 55)]
        self.assertEqual(heard, [b"A%05d" % i for i in range(41)] + [g[:6] for g in greeting])
        self.assertEqual(self.at_risk(), 0)

    # ---- of a client while there is no endpoint

    def hears(self, heard, gate=None):
        def talk(wire):
            if gate:
                gate.wait(10 * SLOW)
            while True:
                seen = wire.read()
                if seen is None:
                    return
                heard.append(seen[2] if seen[1] == 1 else seen[1:])
                if seen[1] == 8:
                    wire.socket.sendall(close(1000))
        return talk

    ORDERS = [b"order %d" % i for i in range(20)]

    def test_what_a_client_said_before_its_close_is_told_to_the_next_endpoint(self):
        heard = []
        client = self.scripted([lambda wire: wire.read(), self.hears(heard)], websocket='park_timeout = "30s"')
        self.lose()
        client.socket.sendall(b"".join(said(order) for order in self.ORDERS) + close(1000, True))
        self.assertEqual(self.parked(), 1)
        self.understudy.cli("enable", self.address)
        self.assertEqual(client.read(), (1, 8, b"\x03\xe8"))       # the endpoint's answer
        client.socket.close()
        wait_until(lambda: self.understudy.metric("websocket_sessions") == 0)
        self.assertEqual(heard[:20], self.ORDERS)
        self.assertEqual(heard[20][0], 8)
        self.assertEqual(self.at_risk(), 0)
        self.assertEqual(self.line()["tunnel_end"], "client_closed")

    def test_a_client_whose_last_words_nobody_heard_is_told_so_and_they_are_counted(self):
        client = self.scripted([lambda wire: wire.read()], websocket='park_timeout = "1s"')
        self.lose()
        client.socket.sendall(b"".join(said(order) for order in self.ORDERS) + close(1000, True))
        self.assertEqual(client.read()[1:], (8, b"\x03\xf4"))      # 1012
        self.assertIsNone(client.read())
        self.assertEqual(self.at_risk(), 20)

    def test_what_is_said_until_the_end_of_the_wait_is_counted(self):
        client = self.scripted([lambda wire: wire.read()], websocket='park_timeout = "1s"')
        self.lose()
        client.socket.sendall(b"".join(said(order) for order in self.ORDERS))
        self.assertEqual(client.read()[1:], (8, b"\x03\xf4"))
        client.socket.sendall(said(b"crossed it") + close(1012, True))
        self.assertIsNone(client.read())
        wait_until(lambda: self.understudy.metric("websocket_sessions") == 0)
        self.assertEqual(self.at_risk(), 21)

    def test_a_client_that_hangs_up_while_the_next_endpoint_is_told_is_heard_to_its_end(self):
        heard, go = [], threading.Event()
        client = self.scripted([lambda wire: wire.read(), self.hears(heard, go)], websocket='park_timeout = "30s", park_buffer = "16MiB"')
        self.lose()
        for _ in range(200):
            client.socket.sendall(said(b"m" * 50000))
        wait_until(lambda: self.understudy.metric("websocket_kept_bytes") > 200 * 50000)
        self.understudy.cli("enable", self.address)
        wait_until(self.resumed)
        client.socket.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        go.set()
        wait_until(lambda: len(heard) == 200)
        self.assertIsNone(client.read())
        self.assertEqual(self.at_risk(), 0)

    def test_orders_of_a_client_that_has_gone_are_told_or_counted(self):
        heard = []
        client = self.scripted([lambda wire: wire.read(), self.hears(heard)], websocket='park_timeout = "30s"')
        self.lose()
        client.socket.sendall(b"".join(said(order) for order in self.ORDERS))
        client.socket.close()
        time.sleep(0.2)
        self.understudy.cli("enable", self.address)
        wait_until(lambda: self.understudy.metric("websocket_sessions") == 0)
        self.assertGreaterEqual(len(heard) + self.at_risk(), 20)
        self.assertGreaterEqual(len(heard), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
