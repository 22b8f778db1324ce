"""An origin whose WebSockets are dear: it opens so many a second, and what it does beyond that is its kind.

  queue    opens one after another; asked for more than twice as many in a second it collapses and opens 5/s until all are worked off
  refuse   opens at once, and answers 503 beyond
  delay    opens after a delay; see /control

Prints its port. GET /stats tells what it was asked for, GET /control?delay=S delays every opening from now on; any other
request (a POST has two bytes) is answered at once, and counted as plain unless it is for /healthz.
"""
import asyncio
import base64
import collections
import hashlib
import json
import sys
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Origin:
    def __init__(self, kind, rate):
        self.kind, self.rate, self.delay = kind, rate, 0.0
        self.asked = collections.deque()
        self.most = self.opened = self.refused = self.open = self.plain = self.openings = 0
        self.collapsed = self.thrashing = False
        self.queue = asyncio.Queue()

    def note(self):
        self.openings += 1
        now = time.monotonic()
        self.asked.append(now)
        while self.asked[0] <= now - 1:
            self.asked.popleft()
        self.most = max(self.most, len(self.asked))
        if self.kind == "queue" and len(self.asked) > 2 * self.rate:
            self.collapsed = self.thrashing = True

    async def work(self):
        due = time.monotonic()
        while True:
            turn = await self.queue.get()
            due = max(due, time.monotonic()) + (0.2 if self.thrashing else 1 / self.rate)
            await asyncio.sleep(max(0, due - time.monotonic()))
            if self.queue.empty():
                self.thrashing = False
            if not turn.cancelled():
                turn.set_result(None)

    async def may_open(self):
        self.note()
        if self.kind == "refuse":
            return len(self.asked) <= self.rate
        if self.kind == "queue":
            turn = asyncio.get_running_loop().create_future()
            self.queue.put_nowait(turn)
            await turn
        if self.delay:
            await asyncio.sleep(self.delay)
        return True

    async def connection(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ")[1]
                key = next((l.split(b":")[1].strip() for l in head.split(b"\r\n") if l.lower().startswith(b"sec-websocket-key:")), None)
                if key:
                    return await self.websocket(key, reader, writer)
                body = b"ok"
                if target == b"/stats":
                    body = json.dumps({"most": self.most, "opened": self.opened, "refused": self.refused, "open": self.open,
                                       "asked": self.openings, "plain": self.plain, "collapsed": self.collapsed}).encode()
                elif target.startswith(b"/control?delay="):
                    self.delay = float(target.split(b"=")[1])
                elif target != b"/healthz":
                    self.plain += 1
                    if head.startswith(b"POST"):
                        await reader.readexactly(2)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def websocket(self, key, reader, writer):
        if not await self.may_open():
            self.refused += 1
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            return
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self.opened += 1
        self.open += 1
        try:
            while await reader.read(4096):
                pass
        finally:
            self.open -= 1


async def main():
    origin = Origin(sys.argv[1], float(sys.argv[2]))
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    server = await asyncio.start_server(origin.connection, "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    worker = asyncio.ensure_future(origin.work())
    async with server:
        await server.serve_forever()
    worker.cancel()


asyncio.run(main())
