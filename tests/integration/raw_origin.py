"""Endpoints whose every byte is scripted, in threads of the story: what the proxy sent is kept, what it gets is decided by the story."""
import re
import socket
import threading


class Endpoint(threading.Thread):
    """Listens on a port of its own and hands every connection to `talk(socket)`, each in a thread; who leaves ends its talk."""

    def __init__(self):
        super().__init__(daemon=True)
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
            threading.Thread(target=self.connection, args=(s,), daemon=True).start()

    def connection(self, s):
        with s:
            try:
                self.talk(s)
            except OSError:
                pass

    def stop(self):
        self.listener.close()


class RawOrigin(Endpoint):
    """Hands each connection that is no probe to `serve(socket, head)`, which owns it from then on.

    `head` is the first request's head. Probes of /healthz are answered 200. `connections` counts the others.
    """

    def __init__(self, serve, greeting=None):
        self.serve = serve
        self.greeting = greeting
        self.connections = 0
        super().__init__()

    def talk(self, s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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


def read_head(s):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        more = s.recv(1)
        if not more:
            return b""
        data += more
    return data


class Recorder(Endpoint):
    """Keeps what it is sent, request by request, and answers each with 200."""

    def __init__(self):
        self.seen = []    # (head, body) of complete requests, without probes
        super().__init__()

    def talk(self, s):
        data = b""
        while True:
            more = s.recv(65536)
            if not more:
                return
            data += more
            while (taken := self.take(data)) is not None:
                head, body, data = taken
                if b"/healthz" not in head.split(b"\r\n")[0]:
                    self.seen.append((head, body))
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    @staticmethod
    def take(data):
        """(head, body, rest) of the first request in `data`, or None while it is not whole."""
        head, blank, rest = data.partition(b"\r\n\r\n")
        if not blank:
            return None
        end = 0
        if re.search(rb"transfer-encoding: *chunked", head, re.I):
            last = re.search(rb"(^|\r\n)0\r\n\r\n", rest)
            if not last:
                return None
            end = last.end()
        elif length := re.search(rb"content-length: *(\d+)", head, re.I):
            end = int(length.group(1))
        return None if len(rest) < end else (head, rest[:end], rest[end:])
