"""What a GET of 128 B costs when there is more of everything else."""
import statistics
import time

import cpu_rounds
import machine
from lifecycle import pools
from proxies import Understudy

SIZES = (10, 100, 1000, 10000)


def with_pools(load, n):
    return {"EXTRA": pools(Understudy, n, load.port)}


def with_endpoints(load, n):
    port = load.wide()
    return {"ENDPOINTS": ", ".join(f'"127.{i >> 16}.{i >> 8 & 255}.{i & 255}:{port}"' for i in range(1, n + 1))}


def with_routes(load, n):
    return {"EXTRA": "".join(f'[[route]]\nmatch = {{ host = "h{i}.example.org", path = "/app/*" }}\npool = "origin"\n' for i in range(n))}


KINDS = {"pools": with_pools, "endpoints": with_endpoints, "routes": with_routes, "idle connections": None}


def idle_share(load, proxy):
    """Share of a core while nothing is asked of it, once what the load and the start left to be done is done."""
    shares = []
    while len(shares) < 30:
        quiet = load.run(port=load.port, path="/b/128", expect=128, connections=1, seconds=1, warm=0,
                         watch=",".join(str(p) for p in proxy.pids()))
        shares.append(quiet["cpu_ns"] / 1e9 / quiet["seconds"])
        if len(shares) >= 3 and max(shares[-3:]) - min(shares[-3:]) < max(0.005, 0.1 * shares[-1]):
            break
    return statistics.median(shares[-3:])


def one(load, folder, kind, n, rounds, seconds):
    """(median us per GET, share of a core used without any request)."""
    # Probes are work of their own: with this interval they do not hide what a request costs.
    words = KINDS[kind](load, n) if KINDS[kind] else {}
    proxy = Understudy(folder, load.port, INTERVAL="60s", HALF_FILES=machine.open_files() - 1000, **words)
    try:
        proxy.start(60)
        time.sleep(3 if n > 1000 else 1)   # first probes
        if KINDS[kind] is None:
            held = load.hold(port=proxy.http, path="/b/128", expect=128, connections=n)
            if held["errors"]:
                raise RuntimeError(f"{held['errors']} errors while {n} idle connections were opened: {held['first_error']}")
        job = {"port": proxy.http, "path": "/b/128", "expect": 128, "connections": 64}
        load.run(**job, seconds=0.1, warm=3 if kind == "endpoints" and n > 1000 else 0.5)   # every endpoint has its connection
        taken = [cpu_rounds.measure(load, proxy, {**job, "seconds": seconds, "warm": 0.2}).cpu_us for _ in range(rounds)]
        quiet = idle_share(load, proxy)
        if KINDS[kind] is None:
            load.release()
    finally:
        proxy.stop()
    return statistics.median(taken), quiet


def measure(load, folder, rounds, seconds, sizes, say):
    out = {}
    for kind in KINDS:
        out[kind] = {}
        for n in sizes:
            try:
                out[kind][n] = one(load, folder, kind, n, rounds, seconds)
                say(f"  {n:6} {kind:18} {out[kind][n][0]:7.2f} us per GET, {out[kind][n][1]:6.2%} of a core when idle")
            except RuntimeError as failed:
                out[kind][n] = None
                say(f"  {n:6} {kind:18} failed: {str(failed)[:300]}")
    return out
