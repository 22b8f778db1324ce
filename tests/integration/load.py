"""Mixed load for the failover and reload stories, in one asyncio thread: open-loop GET and POST with unique ids, WebSockets."""
import asyncio
import base64
import functools
import os
import sys
import threading
import time

LATE = 0.15     # seconds; a generator that was later than that was disturbed, and so was everything that it measured


def paced(test):
    """For stories that count slow requests: a run whose load generator could not keep its pace is no measurement. When it fails,
    it is told and done again, twice at most; a failure of a run that kept its pace counts at once."""
    @functools.wraps(test)
    def run(self):
        for again in (True, True, False):
            self.load = None
            try:
                return test(self)
            except AssertionError:
                if not again or self.load is None or self.load.latest < LATE:
                    raise
                sys.stderr.write("disturbed: the load was up to %.0f ms late; once more\n" % (self.load.latest * 1000))
            self.load.stop()
            self.doCleanups()
            self.setUp()
    return run


class Load:
    """Runs in a thread of its own between start() and stop()."""

    def __init__(self, port, gets=150, posts=150, sockets=0, timeout=15):
        self.port, self.gets, self.posts, self.sockets, self.timeout = port, gets, posts, sockets, timeout
        self.results = []        # (began, kind, id, status or error text, seconds, body)
        self.socket_losses = []  # (time, why)
        self.sockets_open = 0
        self.reopen_seconds = []
        self.latest = 0          # by how many seconds a request was sent too late, at worst
        self.idle = []           # free connections
        self.stopping = False

    def start(self):
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()), daemon=True)
        self.thread.start()
        return self

    def stop(self):
        self.stopping = True
        self.thread.join()
        return self

    def failed(self, kind):
        return [r for r in self.results if r[1] == kind and r[3] != 200]

    async def main(self):
        self.tasks = set()
        for i in range(self.sockets):
            self.spawn(self.websocket(i))
        begin, sent = time.monotonic(), 0
        total = self.gets + self.posts
        while not self.stopping:
            passed = time.monotonic() - begin
            due = int(passed * total)
            if sent < due:
                self.latest = max(self.latest, passed - (sent + 1) / total)
            while sent < due:
                # Evenly mixed: a POST whenever its share is due.
                kind = "POST" if (sent + 1) * self.posts // total > sent * self.posts // total else "GET"
                self.spawn(self.request(kind, sent))
                sent += 1
            await asyncio.sleep(0.003)
        end = time.monotonic() + self.timeout
        while any(not t.done() for t in self.tasks) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for task in self.tasks:
            task.cancel()

    def spawn(self, coroutine):
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def request(self, kind, ident):
        began = time.monotonic()
        try:
            status, body = await asyncio.wait_for(self.exchange(kind, ident), self.timeout)
        except Exception as e:  # every way of failing is a result
            status, body = repr(e), b""
        self.results.append((began, kind, ident, status, time.monotonic() - began, body))

    async def exchange(self, kind, ident):
        while self.idle and self.idle[-1][0].at_eof():      # closed while nobody asked anything
            self.idle.pop()[1].close()
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        body = b"x" * 100 if kind == "POST" else b""
        path = "/post" if kind == "POST" else "/hello"
        writer.write(b"%s %s HTTP/1.1\r\nHost: load\r\nX-Id: %d\r\nContent-Length: %d\r\n\r\n%s" % (kind.encode(), path.encode(), ident, len(body), body)
                     if body else b"GET %s HTTP/1.1\r\nHost: load\r\nX-Id: %d\r\n\r\n" % (path.encode(), ident))
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = [l for l in head.lower().split(b"\r\n") if l.startswith(b"content-length:")]
        body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
        if b"connection: close" in head.lower():
            writer.close()
        else:
            self.idle.append((reader, writer))
        return status, body

    async def websocket(self, index):
        lost_at = None
        await asyncio.sleep(index * 0.005)
        while not self.stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                key = base64.b64encode(os.urandom(16))
                writer.write(b"GET /ws HTTP/1.1\r\nHost: load\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                             b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n")
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                if not head.startswith(b"HTTP/1.1 101"):
                    writer.close()
                    await asyncio.sleep(0.1)
                    continue
                if lost_at is not None:
                    self.reopen_seconds.append(time.monotonic() - lost_at)
                    lost_at = None
                self.sockets_open += 1
                try:
                    while not self.stopping:
                        writer.write(b"\x81\x84\0\0\0\0ping")
                        answer = await reader.readexactly(2)
                        await reader.readexactly(answer[1] & 127)
                        if answer[0] & 15 == 8:
                            raise ConnectionError("close frame")
                        await asyncio.sleep(0.5)
                    writer.close()
                    return
                finally:
                    self.sockets_open -= 1
            except (OSError, asyncio.IncompleteReadError, ConnectionError, asyncio.TimeoutError) as e:
                if lost_at is None:
                    lost_at = time.monotonic()
                    self.socket_losses.append((lost_at, repr(e)))
                await asyncio.sleep(0.05)
