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
        client = self.scripted([lambda wire: None], websocket='park_timeout = "60s"')
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
