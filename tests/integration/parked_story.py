"""One tunnel of a route with `on_endpoint_loss = "resume"`, in frames, and the endpoints it goes on with, one after the other."""
import socket
import struct

from harness import SLOW, Story, wait_until
from frames_test import close, frame
from raw_origin import RawOrigin
from tunnel_test import opening, switched


class Wire:
    """One side of a tunnel in frames."""

    def __init__(self, s):
        self.socket, self.rest = s, b""

    def read(self):
        """(fin, opcode, payload) of the next frame; None at the end."""
        while True:
            if len(self.rest) >= 2:
                size, head = self.rest[1] & 127, 2
                if size == 126 and len(self.rest) >= 4:
                    size, head = struct.unpack(">H", self.rest[2:4])[0], 4
                elif size == 127 and len(self.rest) >= 10:
                    size, head = struct.unpack(">Q", self.rest[2:10])[0], 10
                head += 4 if self.rest[1] & 128 else 0
                if (self.rest[1] & 127 < 126 or head > 2 + (4 if self.rest[1] & 128 else 0)) and len(self.rest) >= head + size:
                    out = self.rest[0] >> 7, self.rest[0] & 15, self.rest[head:head + size]
                    self.rest = self.rest[head + size:]
                    return out
            more = self.socket.recv(65536)
            if not more:
                return None
            self.rest += more

    def text(self):
        seen = self.read()
        return seen and seen[2]


def said(text):
    return frame(1, text, True)


class ParkedStory(Story):
    def scripted(self, talks, websocket='replay_first = 1, park_timeout = "5s"', pool="", more=b"", slow=False, server=""):
        """An endpoint that hands its n-th WebSocket to talks[n](wire), or refuses it with those bytes. The client's wire; one that is `slow` takes
        little before it is read."""
        self.heads = []
        count = iter(talks)
        def serve(s, head):
            self.heads.append(head)
            talk = next(count, None)
            if talk is None:
                return
            if isinstance(talk, bytes):
                return s.sendall(talk)
            if hasattr(talk, "gate"):
                talk.gate.wait(10 * SLOW)
            s.sendall(switched(getattr(talk, "more", b"")) + getattr(talk, "greeting", b""))
            talk(Wire(s))
        raw = RawOrigin(serve)
        self.addCleanup(raw.stop)
        self.address = raw.address
        self.understudy = self.proxy(self.config(
            [raw.address], check="tcp = true", server="workers = 1\n" + server, pool="[pool.app.passive]\nenabled = false\n" + pool,
            more='[log]\naccess = { format = "json", path = "%s" }\n[[route]]\npool = "app"\nwebsocket = { on_endpoint_loss = "resume", %s }\n' % (
                self.path("access.log"), websocket)))
        self.await_healthy(self.understudy, raw.address)
        return self.another(more, slow)

    def another(self, more=b"", slow=False):
        """The wire of one more client."""
        s = socket.socket()
        self.addCleanup(s.close)
        if slow:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(10 * SLOW)
        s.connect(("127.0.0.1", self.port))
        s.sendall(opening(more=more))
        self.answer = b""
        while not self.answer.endswith(b"\r\n\r\n"):
            self.answer += s.recv(1)
        self.assertTrue(self.answer.startswith(b"HTTP/1.1 101 "), self.answer)
        return Wire(s)

    def line(self):
        def written():
            return self.access_lines(self.path("access.log"))
        return wait_until(written)[-1]

    def ended(self, client, code):
        """The client is told so, answers, and that is the end."""
        fin, opcode, payload = client.read()
        self.assertEqual((opcode, payload[:2]), (8, struct.pack(">H", code)))
        client.socket.sendall(close(code, True))
        self.assertIsNone(client.read())
