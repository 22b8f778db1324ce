"""Tunnels of a route with `on_endpoint_loss = "resume"` outlive their endpoint: the client's socket stays open while the endpoint is killed,
frozen, drained or left by a move of tiers; no message is torn or told twice, and what may be lost is counted."""
import asyncio
import collections
import os
import resource
import signal
import struct
import subprocess
import threading
import time
import unittest

from background import Background
from harness import HERE, SLOW, Process, Story, wait_until
from frames_test import close, frame
from parked_story import ParkedStory, said
from tunnel_test import opening

CHECK = 'path = "/healthz"\ninterval = "200ms"\ntimeout = "500ms"\nfall = 2\nrise = 1'


class ParkedTest(ParkedStory):
    def test_a_killed_endpoints_tunnel_goes_on_with_the_next_one(self):
        second = []
        def first(wire):
            second.append(wire.text())
            wire.socket.sendall(frame(1, b"welcome") + frame(1, b"torn")[:3])
            wire.socket.close()
        def next_one(wire):
            for _ in range(2):
                second.append(wire.text())
            wire.socket.sendall(frame(1, b"welcome back"))
            second.append(wire.text())
            wire.socket.sendall(frame(1, b"heard"))
            wire.read()
        next_one.gate = threading.Event()
        refused = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        client = self.scripted([first, refused, refused, next_one], more=b"Sec-WebSocket-Extensions: permessage-deflate\r\nUnderstudy-Resume: id=mine\r\n")
        client.socket.sendall(said(b"hello"))
        self.assertEqual(client.text(), b"welcome")
        wait_until(lambda: self.understudy.metric("websocket_sessions_parked_total", reason="upstream_closed") == 1)
        client.socket.sendall(frame(9, b"there?", True) + said(b"meanwhile"))
        self.assertEqual(client.read(), (1, 10, b"there?"))           # the proxy answers
        self.assertEqual(self.understudy.metric("websocket_sessions_parked"), 1)
        self.assertEqual(self.understudy.status()["pools"][0]["parked"]["tunnels"], 1)
        self.assertIn("PARKED: 1 tunnels", self.understudy.cli("status").stdout)
        next_one.gate.set()
        self.assertEqual(client.text(), b"welcome back")              # and not "torn"
        client.socket.sendall(said(b"and then"))
        self.assertEqual(client.text(), b"heard")
        self.assertEqual(second, [b"hello", b"hello", b"meanwhile", b"and then"])
        resumes = [[l for l in h.split(b"\r\n") if l.lower().startswith(b"understudy-resume")] for h in self.heads]
        request_id = next(l for l in self.answer.split(b"\r\n") if l.lower().startswith(b"x-request-id")).split(b": ")[1]
        self.assertEqual(resumes[0], [])
        self.assertEqual(resumes[3], [b"Understudy-Resume: id=%s, attempt=3, reason=upstream_closed" % request_id])
        for head in self.heads:
            self.assertNotIn(b"permessage-deflate", head)
        strip = lambda h: [l for l in h.split(b"\r\n") if not l.lower().startswith(b"understudy-resume")]
        self.assertEqual(strip(self.heads[0]), strip(self.heads[3]))
        self.assertEqual(self.understudy.metric("websocket_parking_ended_total", result="resumed"), 1)
        self.assertEqual(self.understudy.metric("websocket_resume_failed_total"), 2)
        self.assertEqual(self.understudy.metric("websocket_sessions_parked"), 0)
        self.assertEqual(self.understudy.metric("messages_at_risk_total"), 2)     # "hello", and the torn one
        self.assertEqual(self.understudy.endpoint(self.address)["tunnels"], 1)
        client.socket.sendall(close(1000, True))
        client.socket.close()
        wait_until(lambda: self.understudy.metric("websocket_sessions") == 0)
        self.assertEqual(self.line()["parked"], 1)
        self.assertEqual(self.understudy.metric("websocket_kept_bytes"), 0)

    def test_a_message_of_which_the_endpoint_heard_half_is_told_whole_to_the_next_one(self):
        heard = []
        big = said(b"b" * 50000)
        def first(wire):
            wire.socket.recv(100)
            while len(wire.rest) < 20000:
                wire.rest += wire.socket.recv(1000)
        def next_one(wire):
            heard.append(wire.text())
            heard.append(wire.text())
            wire.socket.sendall(frame(1, b"all of it"))
            wire.read()
        client = self.scripted([first, next_one], websocket='park_timeout = "5s"')
        client.socket.sendall(big[:30000])
        wait_until(lambda: self.understudy.metric("websocket_parking_ended_total", result="resumed") == 1)
        client.socket.sendall(big[30000:] + said(b"next"))
        self.assertEqual(client.text(), b"all of it")
        self.assertEqual(heard, [b"b" * 50000, b"next"])

    def test_fragments_of_an_endpoint_that_can_not_be_made_whole_end_with_1012(self):
        client = self.scripted([lambda wire: wire.socket.sendall(frame(1, b"part", fin=False) + frame(0, b"more")[:3])])
        self.assertEqual(client.read(), (0, 1, b"part"))
        self.ended(client, 1012)
        wait_until(lambda: self.understudy.metric("websocket_sessions_not_parked_total", reason="message_cut") == 1)
        self.assertEqual(self.line()["tunnel_end"], "upstream_closed")

    def test_a_refusal_another_subprotocol_and_too_long_a_wait_end_with_1012(self):
        refusal = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        other = lambda wire: None
        other.more = b"Sec-WebSocket-Protocol: b\r\n"
        chosen = lambda wire: None
        chosen.more = b"Sec-WebSocket-Protocol: a\r\n"
        for talks, result, end in (([chosen, refusal], "refused", "resume_refused"), ([chosen, other], "protocol", "resume_refused"),
                                   ([chosen], "late", "park_timeout")):
            with self.subTest(result):
                begin = time.monotonic()
                client = self.scripted(talks, websocket='park_timeout = "1s"', more=b"Sec-WebSocket-Protocol: a, b\r\n")
                self.ended(client, 1012)
                wait_until(lambda: self.understudy.metric("websocket_parking_ended_total", result=result) == 1)
                self.assertEqual(self.line()["tunnel_end"], end)
                self.understudy.kill()
                os.remove(self.path("access.log"))
                self.assertLess(time.monotonic() - begin, 8 * SLOW)

    def test_an_endpoint_that_says_it_goes_away_is_not_heard_by_the_client(self):
        answered = []
        def leaves(wire):
            wire.socket.sendall(frame(1, b"last words") + close(1001))
            answered.append(wire.read())
        def new(wire):
            wire.socket.sendall(frame(1, b"new") + close(1000))
            wire.read()
        client = self.scripted([leaves, new])
        self.assertEqual(client.text(), b"last words")
        self.assertEqual(client.text(), b"new")
        self.ended(client, 1000)              # that is for the client
        self.assertEqual(answered[0][:2], (1, 8))
        self.assertEqual(self.understudy.metric("websocket_sessions_parked_total", reason="upstream_leaves"), 1)

    def test_what_is_held_is_bounded_and_reading_stops_there(self):
        client = self.scripted([lambda wire: None], websocket='park_buffer = "64KiB", park_timeout = "3s"')
        self.understudy.cli("disable", self.address)
        wait_until(lambda: self.understudy.metric("websocket_sessions_parked") == 1)
        message = said(b"m" * 4000)
        client.socket.settimeout(0.3)
        sent = 0
        data = message * 2000
        with self.assertRaises(TimeoutError):
            while sent < len(data):
                sent += client.socket.send(data[sent:sent + 65536])
        self.assertEqual(self.understudy.metric("websocket_kept_bytes"), 65536)
        self.assertEqual(self.understudy.metric("websocket_park_buffer_full_total"), 1)
        self.assertLess(self.understudy.rss(), 200 << 20)
        client.socket.close()     # its FIN stands behind what is not read
        wait_until(lambda: self.understudy.metric("websocket_parking_ended_total", result="late") == 1)
        wait_until(lambda: self.understudy.metric("websocket_sessions") == 0)
        self.assertGreaterEqual(self.understudy.metric("messages_at_risk_total"), 65536 // len(message))

    def test_what_all_hold_together_is_bounded_too(self):
        client = self.scripted([lambda wire: wire.read()] * 3, websocket='park_buffer = "16MiB", park_timeout = "3s"',
                               server='max_buffer_memory = "2MiB"\n')
        clients = [client] + [self.another() for _ in range(2)]
        wait_until(lambda: self.understudy.metric("websocket_sessions") == 3)
        self.understudy.cli("disable", self.address)
        wait_until(lambda: self.understudy.metric("websocket_sessions_parked") == 3)
        data = said(b"m" * 4000) * 4000   # more than the kernel takes for each
        for one in clients:
            one.socket.settimeout(0.3)
            sent = 0
            with self.assertRaises(TimeoutError):
                while sent < len(data):
                    sent += one.socket.send(data[sent:sent + 65536])
        kept = self.understudy.metric("websocket_kept_bytes")
        self.assertGreater(kept, 900_000)
        self.assertLess(kept, 1_300_000, "half of max_buffer_memory, and what is read in one turn")
        self.assertEqual(self.request()[0], 503)   # and it answers others
        wait_until(lambda: self.understudy.metric("websocket_sessions") == 0)
        self.assertEqual(self.understudy.metric("websocket_kept_bytes"), 0)

    def test_a_client_that_closes_while_it_is_parked_is_answered(self):
        client = self.scripted([lambda wire: None], websocket='park_timeout = "30s"')
        self.understudy.cli("disable", self.address)
        wait_until(lambda: self.understudy.metric("websocket_sessions_parked") == 1)
        client.socket.sendall(close(1001, True))
        self.assertEqual(client.read(), (1, 8, struct.pack(">H", 1001)))
        self.assertIsNone(client.read())
        line = self.line()
        self.assertEqual((line["tunnel_end"], line["closed_by"], line["close_code"]), ("client_closed", "client", 1001))

    def test_a_stop_ends_parked_tunnels_with_1012(self):
        client = self.scripted([lambda wire: None], websocket='park_timeout = "30s"')
        self.understudy.cli("disable", self.address)
        wait_until(lambda: self.understudy.metric("websocket_sessions_parked") == 1)
        self.understudy.signal(signal.SIGTERM)
        self.ended(client, 1012)
        self.assertEqual(self.understudy.popen.wait(10), 0)


class LedgerOrigin(Process):
    def __init__(self, ledger, delay, port=None):
        super().__init__(["/usr/bin/python3", os.path.join(HERE, "parked_origin.py"), ledger, str(delay), *([str(port)] if port else [])],
                         stdout=subprocess.PIPE)
        self.port = int(self.popen.stdout.readline())
        self.address = "127.0.0.1:%d" % self.port


class Fleet(Background):
    """Devices that say `ID NUMBER` at a steady pace, and ping; each notes what it is answered and whether its socket ends."""

    def __init__(self, port, count, pause):
        self.port, self.count, self.pause = port, count, pause
        self.sent = collections.Counter()
        self.acks = collections.Counter()
        self.ended, self.bad, self.unanswered = [], [], []
        self.open = 0
        self.talking = True
        self.pinged = collections.defaultdict(lambda: None)

    def begin(self):
        return [asyncio.ensure_future(self.device(i)) for i in range(self.count)]

    async def device(self, number):
        await asyncio.sleep(number * 2 / self.count)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(opening(b"/%d" % number))
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            return self.ended.append((number, head))
        self.open += 1
        writer.write(said(b"hello %d" % number))
        listening = asyncio.ensure_future(self.listen(number, reader))
        beat = 0
        try:
            while not listening.done():
                if self.talking:
                    text = b"%d %d" % (number, self.sent[number])
                    # Every third one in two fragments, written in pieces.
                    data = said(text) if self.sent[number] % 3 else frame(1, text[:2], True, False) + frame(0, text[2:], True)
                    self.sent[number] += 1
                    writer.write(data[:5])
                    await asyncio.sleep(0.001)
                    writer.write(data[5:])
                beat += 1
                if beat % max(2, int(3 / self.pause)) == 0:   # an endpoint may be frozen for a second or two before that is known
                    if self.pinged[number] is not None:
                        self.unanswered.append(number)
                    self.pinged[number] = b"%d" % beat
                    writer.write(frame(9, self.pinged[number], True))
                await asyncio.sleep(self.pause)
        except ConnectionError as e:
            self.ended.append((number, repr(e)))
        finally:
            listening.cancel()
            writer.close()

    async def listen(self, number, reader):
        try:
            while True:
                first, size = await reader.readexactly(2)
                payload = await reader.readexactly(size)
                if first == 0x81 and payload.startswith(b"ack "):
                    self.acks[payload] += 1
                elif first == 0x8A:
                    if payload == self.pinged[number]:
                        self.pinged[number] = None
                else:
                    self.bad.append((number, first, payload))
                if first == 0x88:
                    return self.ended.append((number, payload))
        except (asyncio.IncompleteReadError, ConnectionError) as e:
            self.ended.append((number, repr(e)))


class ParkedFleetTest(Story):
    COMMIT = 0.7

    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))

    def ledger_origin(self, name, port=None):
        origin = LedgerOrigin(self.path(name + ".ledger"), self.COMMIT, port)
        self.processes.append(origin)
        return origin

    def reckon(self, names):
        """Messages by how often they were written, and the handshakes."""
        told, opened = collections.Counter(), []
        for name in names:
            with open(self.path(name + ".ledger")) as f:
                for line in f:
                    kind, _, text = line.rstrip("\n").partition(" ")
                    if kind == "open":
                        opened.append(text)
                    else:
                        told[text] += 1
        return told, opened

    def run_fleet(self, count, pause, workers, seconds):
        names = ("p1", "p2", "s1", "s2")
        origins = {name: self.ledger_origin(name) for name in names}
        address = {name: origin.address for name, origin in origins.items()}
        understudy = self.proxy(self.config(
            [address["p1"], address["p2"]], [address["s1"], address["s2"]], check=CHECK,
            server="workers = %d\nmax_connections_per_ip = 2000\n" % workers, pool='[pool.app.failover]\nfailback = "manual"\n',
            more='[[route]]\npool = "app"\nwebsocket = { on_endpoint_loss = "resume", replay_first = 1, park_timeout = "20s", close_over = "2s" }\n'))
        self.await_healthy(understudy, *address.values())
        at_risk = lambda: understudy.metric("messages_at_risk_total")
        everybody = lambda: sum(understudy.endpoint(a)["tunnels"] for a in address.values()) == count

        def revive(name):
            origins[name].kill()
            origins[name] = self.ledger_origin(name, origins[name].port)
            self.await_healthy(understudy, address[name])

        def killed():
            origins["p1"].kill()
            wait_until(lambda: understudy.endpoint(address["p2"])["tunnels"] == count)
            revive("p1")

        def frozen():
            origins["p2"].signal(signal.SIGSTOP)
            wait_until(lambda: understudy.endpoint(address["p1"])["tunnels"] == count, 20)
            origins["p2"].popen.kill()      # it says nothing more
            revive("p2")

        def drained():
            understudy.cli("drain", address["p1"])
            wait_until(lambda: understudy.endpoint(address["p2"])["tunnels"] == count, 20)
            understudy.cli("enable", address["p1"])

        def moved():
            understudy.cli("failover", "app", "--reason", "kernel upgrade")
            wait_until(lambda: sum(understudy.endpoint(address[s])["tunnels"] for s in ("s1", "s2")) == count, 20)

        def moved_back():
            understudy.cli("failback", "app")
            wait_until(lambda: sum(understudy.endpoint(address[p])["tunnels"] for p in ("p1", "p2")) == count, 20)

        with Fleet(self.port, count, pause) as fleet:
            wait_until(lambda: fleet.open == count and everybody(), 30)
            begin = time.monotonic()
            steps = 0
            while time.monotonic() < begin + seconds or steps < 5:
                for step in (killed, drained, frozen, moved, moved_back):
                    before = at_risk()
                    step()
                    wait_until(everybody, 20)
                    steps += 1
                    time.sleep(1)
                    print("%s: %d at risk, %d ended" % (step.__name__, at_risk() - before, len(fleet.ended)), flush=True)
                    if time.monotonic() > begin + seconds and steps >= 5:
                        break
            fleet.talking = False
            time.sleep(self.COMMIT + 2)
            told, opened = self.reckon(names)
            ended, bad, unanswered = list(fleet.ended), list(fleet.bad), list(fleet.unanswered)
        sent = sum(fleet.sent.values())
        lost = sum(1 for n, upto in fleet.sent.items() for i in range(upto) if told["%d %d" % (n, i)] == 0)
        twice = {text: times for text, times in told.items() if times > 1 and not text.startswith("hello ")}
        known = {"%d %d" % (n, i) for n in range(count) for i in range(fleet.sent[n])}
        strange = [t for t in told if not t.startswith("hello ") and t not in known][:3]
        resumed = [o for o in opened if not o.endswith(" -")]
        print("%d devices, %d messages, %d parked, %d lost, %d at risk" % (
            count, sent, understudy.metric("websocket_sessions_parked_total"), lost, at_risk()), flush=True)
        self.assertEqual(ended, [])                   # no client saw an end
        self.assertEqual(bad, [])
        self.assertEqual(unanswered, [])
        self.assertEqual(twice, {})
        self.assertEqual(strange, [])                 # none torn
        self.assertEqual({a for a, n in fleet.acks.items() if n > 1 and not a.startswith(b"ack hello")}, set())
        self.assertGreaterEqual(len(resumed), count)
        self.assertEqual(understudy.metric("websocket_parking_ended_total", result="resumed"), understudy.metric("websocket_sessions_parked_total"))
        self.assertGreater(lost, 0)                   # the endpoints were not all gentle
        self.assertLessEqual(lost, at_risk())
        self.assertLessEqual(at_risk(), 3 * lost)

    def test_two_hundred_devices_while_endpoints_are_killed_frozen_drained_and_moved(self):
        self.run_fleet(200, 1, 2, 0)   # each once; tests/bench/fleet.py lets 500 devices do it for a minute


if __name__ == "__main__":
    unittest.main(verbosity=2)
