"""Endpoints whose every byte is scripted, in threads of the story: what the proxy sent is kept, what it gets is decided by the story."""
import re
import socket
import threading


class RawOrigin(threading.Thread):
    """Accepts and hands each connection that is no probe to `serve(socket, head)`, which owns it from then on.

    `head` is the first request's head. Probes of /healthz are answered 200. `connections` counts the others.
    """

    def __init__(self, serve, greeting=None):
        super().__init__(daemon=True)
        self.serve = serve
        self.greeting = greeting
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.address = "127.0.0.1:%d" % self.port
        self.start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(s,), daemon=True).start()

    def one(self, s):
        with s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                if self.greeting:
                    s.sendall(self.greeting)
                head = read_head(s)
                if not head:
                    return
                if b" /healthz " in head:
                    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                    return
                self.connections += 1
                self.serve(s, head)
            except OSError:
                pass

    def stop(self):
        self.listener.close()


def read_head(s):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        more = s.recv(1)
        if not more:
            return b""
        data += more
    return data


class Recorder(threading.Thread):
    """An endpoint that keeps what it is sent, request by request, and answers each with 200."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.address = "127.0.0.1:%d" % self.port
        self.seen = []    # (head, body) of complete requests
        self.bytes = b""  # all that came on connections without probes, for parsers that others wrote
        self.start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with s:
            data = b""
            while True:
                try:
                    more = s.recv(65536)
                except OSError:
                    return
                if not more:
                    return
                data += more
                while b"\r\n\r\n" in data:
                    head, _, rest = data.partition(b"\r\n\r\n")
                    length = re.search(rb"content-length: *(\d+)", head, re.I)
                    if re.search(rb"transfer-encoding: *chunked", head, re.I):
                        end = re.search(rb"(^|\r\n)0\r\n\r\n", rest)
                        if not end:
                            break
                        body, rest = rest[:end.end()], rest[end.end():]
                    elif length:
                        n = int(length.group(1))
                        if len(rest) < n:
                            break
                        body, rest = rest[:n], rest[n:]
                    else:
                        body = b""
                    data = rest
                    if b"/healthz" not in head.split(b"\r\n")[0]:
                        self.seen.append((head, body))
                    try:
                        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    except OSError:
                        return

    def stop(self):
        self.listener.close()
