#!/usr/bin/env python3
"""What clients see of eight faults, on real sockets: 300 requests a second, open loop, 70 % GET and 30 % POST, 100 tunnels, two
primaries and two standbys that answer in 5 ms, with the thresholds and times of deploy/examples/failover.toml and nothing else.

    tests/bench/faults.py [--runs 5] [--only frozen,hang] [--out FILE]

"Bad" is a request that failed or took longer than a second, counted from when it was due. Prints every run and the median; a run
whose load generator was late is marked, for it measures the machine as well. Needs a release build."""
import argparse
import os
import signal
import statistics
import sys
import time
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests/integration"))
os.environ.setdefault("UNDERSTUDY_BINARY", os.path.join(ROOT, "build/release/understudy"))

from degradation_test import DegradationTest  # noqa: E402
from load import LATE  # noqa: E402

# name: (what it is, best of the peers, goal)
ROWS = {
    "frozen": ("both primaries frozen for 10 s", 454, 40),
    "hang": ("real requests hang for 10 s, health page green", 755, 60),
    "creep": ("latency creeps from 5 ms to 3 s in 10 s, health page green", 1910, 50),
    "errors": ("30 % of the answers are 500 for 10 s, health page green", 4, 5),
    "nowhere": ("the same for 3 s, and both standbys answer only 500", 281, 280),
    "flap": ("down 3 s, up 3 s, five times", 3, 3),
    "one_slow": ("one of two primaries ten times slower: its share in %", 12, 2),
    "restart": ("all four killed and restarted: seconds until all is well", 1, 0.3),
}


class Fault(DegradationTest):
    """One run of one row; the figure goes to `figure`, what else is worth knowing to `notes`."""
    figure, notes = None, ""

    def bad_since(self, began):
        return len(self.bad(began))

    def moves(self):
        return sum(e["kind"] in ("failover", "failback") for e in self.understudy.events())

    def finish(self, began):
        self.load.stop()
        self.figure = self.bad_since(began)
        return self.bad(began)

    def for_ten_seconds(self, start, end, length=10, after=8):
        self.begin()
        began = time.monotonic()
        start()
        time.sleep(length)
        end()
        time.sleep(after)
        return began, self.finish(began)

    def row_frozen(self):
        def each(number):
            return lambda: [o.signal(number) for o in self.primaries]
        began, bad = self.for_ten_seconds(each(signal.SIGSTOP), each(signal.SIGCONT))
        self.notes = f"{sum(r[0] > began + 1 for r in bad)} of requests after the first second"

    def row_hang(self):
        began, bad = self.for_ten_seconds(lambda: self.mood(self.primaries, "hang=1"), lambda: self.mood(self.primaries))
        self.notes = f"{sum(r[0] > began + 1 for r in bad)} of requests after the first second"

    def row_creep(self):
        began, bad = self.for_ten_seconds(lambda: self.mood(self.primaries, "delay=3000&ramp=10000"),
                                          lambda: self.mood(self.primaries), length=12, after=12)
        self.notes = f"{sum(r[0] > began + 12 for r in bad)} after the heal, {self.moves()} moves"

    def row_errors(self):
        self.for_ten_seconds(lambda: self.mood(self.primaries, "errors=30"), lambda: self.mood(self.primaries))
        asked = sum("close frame" in why for _, why in self.load.socket_losses)
        self.notes = f"{len(self.load.socket_losses) - asked} tunnels cut, {asked} left by a Close frame after the move"

    def row_nowhere(self):
        self.mood(self.standbys, "errors=100")
        self.for_ten_seconds(lambda: self.mood(self.primaries, "errors=30"), lambda: self.mood(self.primaries), length=3)
        said = [e["kind"] for e in self.understudy.events() if e["kind"] in ("nothing_better", "shedding")]
        self.notes = f"{self.moves()} moves, event {said[0] if said else 'MISSING'}"

    def restart(self, origins):
        """The same names at the same ports."""
        return [self.origin(o.name, "--delay", "5", port=o.port) for o in origins]

    def row_flap(self):
        self.begin()
        began = time.monotonic()
        for _ in range(5):
            for origin in self.primaries:
                origin.kill()
            time.sleep(3)
            self.primaries = self.restart(self.primaries)
            time.sleep(3)
        time.sleep(3)
        self.finish(began)
        self.notes = f"{self.moves()} moves"

    def row_one_slow(self):
        self.begin()
        self.mood(self.primaries[:1], "delay=50")
        time.sleep(3)
        began = time.monotonic()
        time.sleep(8)
        self.load.stop()
        gets = [r for r in self.load.results if r[0] >= began and r[1] == "GET" and r[3] == 200]
        self.figure = round(100 * sum(r[5] == b"hello from p1" for r in gets) / len(gets), 2)
        self.notes = f"p99 {1000 * statistics.quantiles([r[4] for r in gets], n=100)[98]:.0f} ms"

    def row_restart(self):
        self.begin()
        for origin in self.primaries + self.standbys:
            origin.kill()
        time.sleep(3)
        self.primaries = self.restart(self.primaries)
        self.standbys = self.restart(self.standbys)
        back = time.monotonic()
        time.sleep(5)
        self.load.stop()
        bad = self.bad(back)
        self.figure = round(max([r[0] for r in bad], default=back) - back, 2)
        self.notes = f"{len(bad)} bad after it"


def run(name):
    fault = Fault("row_" + name)
    result = unittest.TestResult()
    fault.run(result)
    for _, trace in result.errors + result.failures:
        sys.exit(f"{name}: {trace}")
    late = fault.load.latest
    return fault.figure, fault.notes + (f", load {late * 1000:.0f} ms late" if late >= LATE else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default=",".join(ROWS))
    parser.add_argument("--out", help="write the table there as well")
    args = parser.parse_args()
    lines = ["| fault at the primaries | best peer, as measured before | goal | median | all runs | last run |", "|---|---|---|---|---|---|"]
    for name in args.only.split(","):
        what, peer, goal = ROWS[name]
        figures, notes = [], ""
        for i in range(args.runs):
            figure, notes = run(name)
            figures.append(figure)
            print(f"{name} {i + 1}/{args.runs}: {figure} ({notes})", flush=True)
        median = statistics.median(figures)
        met = "" if median <= goal else " (missed)"
        lines.append(f"| {what} | {peer} | {goal} | {median:g}{met} | {', '.join(f'{f:g}' for f in figures)} | {notes} |")
    table = "\n".join(lines) + "\n"
    print(table)
    if args.out:
        with open(args.out, "w") as f:
            f.write(table)


if __name__ == "__main__":
    main()
