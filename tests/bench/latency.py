"""Latency at a constant rate (open loop): a request counts from when it was due, so a stall counts for all that it delays."""
import statistics

import cpu_rounds

JOB = {"path": "/b/128", "expect": 128}


def half_load(load, proxies, say):
    """Half of the requests per second that the slowest of them takes."""
    most = [(r["requests"] / r["seconds"], p.name) for p in proxies for r in [load.run(port=p.http, **JOB, connections=64, seconds=1, warm=0.3)]]
    rate = int(min(most)[0] / 2)
    say(f"  half load: {rate}/s, for {min(most)[1]} is the slowest with {min(most)[0]:.0f}/s")
    return max(rate, 100)


def measure(load, proxies, rate, rounds, seconds, say):
    """{name: {p50, p99, p999 (us), cpu (us a request), rate, foreign}}, medians of the rounds; "direct" is no proxy."""
    samples = {}
    targets = [("direct", load.port, None)] + [(p.name, p.http, p) for p in proxies]
    for _ in range(rounds):
        for name, port, proxy in targets:
            watch = {"watch": ",".join(str(pid) for pid in proxy.pids())} if proxy else {}
            r = load.run(port=port, **JOB, connections=128, rate=rate, seconds=seconds, warm=0.5, **watch)
            if r["errors"]:
                raise RuntimeError(f"{name}: {r['errors']} errors at {rate}/s: {r['first_error']}")
            samples.setdefault(name, []).append(r)
    out = {}
    for name, list_ in samples.items():
        out[name] = {key: statistics.median(r[f"{key}_ns"] / 1000 for r in list_) for key in ("p50", "p99", "p999")}
        out[name]["cpu"] = statistics.median(r["cpu_ns"] / 1000 / r["requests"] for r in list_)
        out[name]["rate"] = statistics.median(r["requests"] / r["seconds"] for r in list_)
        # Without a proxy there is nothing that the machine's time could be compared with.
        out[name]["foreign"] = 0 if name == "direct" else statistics.median(cpu_rounds.foreign(r) for r in list_)
        say(f"  latency at {rate}/s {name:12} p50 {out[name]['p50']:7.0f}  p99 {out[name]['p99']:7.0f}  p99.9 {out[name]['p999']:7.0f} us")
    return out
