"""Latency at a constant rate (open loop): a request counts from when it was due, so a stall counts for all that it delays."""
import statistics


def measure(load, proxies, rate, rounds, seconds, say):
    """{name: {p50, p99, p999 (us), cpu (us a request)}}, medians of the rounds; "direct" is no proxy."""
    samples = {}
    targets = [("direct", load.port, None)] + [(p.name, p.http, p) for p in proxies]
    for _ in range(rounds):
        for name, port, proxy in targets:
            watch = {"watch": ",".join(str(pid) for pid in proxy.pids())} if proxy else {}
            r = load.run(port=port, path="/b/128", expect=128, connections=128, rate=rate, seconds=seconds, warm=0.5, **watch)
            if r["errors"]:
                raise RuntimeError(f"{name}: {r['errors']} errors at {rate}/s: {r['first_error']}")
            samples.setdefault(name, []).append(r)
    out = {}
    for name, list_ in samples.items():
        out[name] = {key: statistics.median(r[f"{key}_ns"] / 1000 for r in list_) for key in ("p50", "p99", "p999")}
        out[name]["cpu"] = statistics.median(r["cpu_ns"] / 1000 / r["requests"] for r in list_)
        out[name]["rate"] = statistics.median(r["requests"] / r["seconds"] for r in list_)
        say(f"  latency at {rate}/s {name:12} p50 {out[name]['p50']:7.0f}  p99 {out[name]['p99']:7.0f}  p99.9 {out[name]['p999']:7.0f} us")
    return out
