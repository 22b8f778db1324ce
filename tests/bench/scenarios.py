"""The scenarios in which CPU time per request is compared."""
from dataclasses import dataclass, field


@dataclass
class Scenario:
    name: str
    title: str
    words: dict               # for the client
    goal: float = None        # of Understudy's CPU to NGINX's
    bar: float = None
    expected: float = None    # HAProxy's CPU to NGINX's, as measured before; None where it is not checked
    verify: dict = field(default_factory=dict)   # what differs in the run that checks every byte
    tls: bool = False

    def job(self, proxy, **more):
        where = {"port": proxy.https, "tls": 1} if self.tls else {"port": proxy.http}
        return {**where, **self.words, **more}

    def checked(self, proxy):
        large = self.words["expect"] >= 1 << 20
        return self.job(proxy, verify=1, count=64 if large else 300, connections=8, **self.verify)


def get(size):
    return {"path": f"/b/{size}", "expect": size, "connections": 16 if size >= 1 << 20 else 64}


def checked_get(size):
    return {"path": f"/v/{size}"}


K16, M1 = 16 * 1024, 1024 * 1024

CPU = [
    Scenario("get128", "GET 128 B", get(128), 0.88, 1.00, 1.01, checked_get(128)),
    Scenario("get16k", "GET 16 KiB", get(K16), 0.78, 0.95, 0.99, checked_get(K16)),
    Scenario("get1m", "GET 1 MiB", get(M1), 1.10, 1.30, 1.63, checked_get(M1)),
    Scenario("post16k", "POST 16 KiB", {"path": "/p", "post": K16, "expect": 128}, 0.75, 1.00, 1.07, {"path": "/pv"}),
    Scenario("connect", "new connection per request", {**get(128), "close": 1}, 0.93, 1.05, 0.98, checked_get(128)),
    Scenario("tls128", "TLS GET 128 B", get(128), 0.88, 1.00, None, checked_get(128), tls=True),
    Scenario("tls16k", "TLS GET 16 KiB", get(K16), 0.72, 0.95, None, checked_get(K16), tls=True),
    Scenario("tls1m", "TLS GET 1 MiB", get(M1), 0.87, 1.00, None, checked_get(M1), tls=True),
    Scenario("tlsfull", "TLS full handshake + GET", {**get(128), "close": 1}, 0.92, 1.05, None, checked_get(128), tls=True),
    Scenario("tlsresumed", "TLS resumed handshake + GET", {**get(128), "close": 1, "resume": 1}, 0.97, 1.05, None,
             checked_get(128), tls=True),
    Scenario("ws125", "WebSocket echo 125 B", {"kind": "ws", "path": "/ws", "expect": 125}, 1.02, 1.20),
    Scenario("ws16k", "WebSocket echo 16 KiB", {"kind": "ws", "path": "/ws", "expect": K16}),
]
EXTRA = ["memory", "latency", "startup", "reload", "scale"]
EXPLICIT = ["syscalls", "instructions", "micro"]


def by_name(name):
    return next(s for s in CPU if s.name == name)
