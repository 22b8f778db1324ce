"""The comparison itself; tests/bench/run builds what it needs and starts it."""
import argparse
import os
import shutil
import sys
import tempfile
import time

import counts
import cpu_rounds
import latency
import lifecycle
import machine
import memory_growth
import micro
import report
import scale
import scenarios
from load import Load
from proxies import ALL, ROOT

LOAD = os.path.join(ROOT, "build/release/understudy_load")


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="Understudy, HAProxy and NGINX side by side.")
    parser.add_argument("--quick", action="store_true", help="the CPU scenarios only, 3 rounds of 0.7 s")
    parser.add_argument("--only", metavar="NAME,...", help="some scenarios; --list names them")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each CPU scenario (5), 1 to 50")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a timed run (1.5), 0.1 to 30")
    parser.add_argument("--rate", type=int, help="requests per second of the latency runs (half of what the slowest proxy takes in this run)")
    parser.add_argument("--connections", type=int, default=5000, help="connections of the memory runs (%(default)s)")
    parser.add_argument("--syscalls", action="store_true", help="also count system calls per request (strace)")
    parser.add_argument("--instructions", action="store_true", help="also count user instructions per request (callgrind, slow)")
    parser.add_argument("--micro", action="store_true", help="also run the micro-benchmarks")
    parser.add_argument("--readme", action="store_true", help="also put the table into README.md")
    parser.add_argument("--out", metavar="FILE", help="write the table there (build/bench.md)")
    options = parser.parse_args()
    names = [s.name for s in scenarios.CPU] + scenarios.EXTRA + scenarios.EXPLICIT
    if options.list:
        print("\n".join(names))
        sys.exit(0)
    wanted = options.only.split(",") if options.only else [s.name for s in scenarios.CPU] + ([] if options.quick else scenarios.EXTRA)
    for name in wanted:
        if name not in names:
            parser.error(f"--only {name}: there is no such scenario; there are {', '.join(names)}")
    for name in scenarios.EXPLICIT:
        if getattr(options, name) and name not in wanted:
            wanted.append(name)
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.7 if options.quick else 1.5)
    if not 1 <= options.rounds <= 50 or not 0.1 <= options.seconds <= 30 or not 100 <= (options.rate or 100) <= 1000000 or not 1 <= options.connections <= 20000:
        parser.error("--rounds is 1 to 50, --seconds 0.1 to 30, --rate 100 to 1000000, --connections 1 to 20000")
    options.wanted = wanted
    return options


def say(text):
    print(text, flush=True)


def side_by_side(options, load, folder, results):
    """What needs all three running at the same time."""
    chosen = [s for s in scenarios.CPU if s.name in options.wanted]
    if not chosen and "latency" not in options.wanted:
        return
    proxies = []
    try:
        for kind in ALL:
            proxies.append(kind(folder, load.port))
            proxies[-1].start()
        for scenario in chosen:
            with results.step(scenario.title, say):
                results.cpu[scenario.name] = cpu_rounds.compare(load, proxies, scenario, options.rounds, options.seconds, 0.15, say)
        if "latency" in options.wanted:
            with results.step("latency", say):
                results.rate = options.rate or latency.half_load(load, proxies, say)
                results.latency = latency.measure(load, proxies, results.rate, min(options.rounds, 3), max(2.0, options.seconds), say)
    finally:
        for proxy in proxies:
            proxy.stop()


def main():
    options = arguments()
    begun = time.time()
    files = machine.allow_many_files()
    if os.cpu_count() < 2:
        sys.exit("bench: needs two cores, one for the proxy and one for the load")
    folder = tempfile.mkdtemp(prefix="understudy-bench-")
    results = report.Results()
    load = None
    try:
        machine.make_certificates(folder)
        load = Load(LOAD)
        makers = {kind.name: (lambda kind=kind: kind(folder, load.port)) for kind in ALL}
        direct = load.run(port=load.port, path="/b/128", expect=128, connections=64, seconds=0.5)
        say(f"  load and origin alone: {direct['requests'] / direct['seconds']:.0f} requests/s of 128 B")
        side_by_side(options, load, folder, results)
        results.connections = min(options.connections, files // 2 - 1000)
        rest = {
            "memory": lambda: memory_growth.measure(load, makers, results.connections, say),
            "startup": lambda: lifecycle.startup(makers, 3, say),
            "reload": lambda: lifecycle.reload(folder, load.port, 1000, 3, say),
            "syscalls": lambda: counts.syscalls(load, makers, say),
            "instructions": lambda: counts.instructions(load, folder, say),
            "scale": lambda: scale.measure(load, folder, min(options.rounds, 3), min(options.seconds, 1.0), scale.SIZES, say),
            "micro": lambda: micro.run(say),
        }
        for name, measure in rest.items():
            if name in options.wanted:
                with results.step(name, say):
                    setattr(results, name, measure())
    finally:
        if load:
            load.close()
        shutil.rmtree(folder, ignore_errors=True)
    text = report.markdown(results, options, begun)
    out = options.out or os.path.join(ROOT, "build/bench.md")
    with open(out, "w") as file:
        file.write(text)
    if options.readme:
        report.put_into(os.path.join(ROOT, "README.md"), report.markdown(results, options, begun, long=False))
    print("\n" + text)
    print(f"written to {os.path.relpath(out, ROOT)}")
    return 1 if results.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, OSError) as failed:
        sys.exit(f"bench: {failed}")
