"""The results as Markdown."""
import contextlib
import platform
import subprocess
import time
from dataclasses import dataclass, field

import cpu_rounds
import scenarios
from proxies import ALL, Haproxy, Nginx, Understudy

US, HA, NG = Understudy.name, Haproxy.name, Nginx.name


@dataclass
class Results:
    cpu: dict = field(default_factory=dict)
    memory: list = None
    connections: int = 0
    latency: dict = None
    rate: int = 0
    startup: dict = None
    reload: dict = None
    scale: dict = None
    syscalls: dict = None
    instructions: dict = None
    micro: list = None
    failed: list = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, name, say):
        """One part of the run: when it fails, that is told and the rest goes on."""
        try:
            yield
        except (RuntimeError, OSError, subprocess.SubprocessError) as wrong:
            self.failed.append(f"{name}: {str(wrong)[:400]}")
            say(f"  FAILED {self.failed[-1]}")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def cell(samples):
    values = [s.cpu_us for s in samples]
    return f"{cpu_rounds.middle(samples, 'cpu_us'):.1f} ({min(values):.1f}–{max(values):.1f})"


def verdict(scenario, value):
    if scenario.bar is None:
        return ""
    goal = f"{scenario.goal:.2f} / {scenario.bar:.2f}"
    return goal + (" met" if value <= scenario.goal else " in bounds" if value <= scenario.bar else " **above**")


def cpu_table(results):
    rows = []
    for name, samples in results.cpu.items():
        scenario = scenarios.by_name(name)
        to_nginx = cpu_rounds.ratio(samples, US, NG)
        rows.append([scenario.title, cell(samples[US]), cell(samples[HA]), cell(samples[NG]),
                     f"{cpu_rounds.ratio(samples, US, HA):.2f}", f"**{to_nginx:.2f}**", verdict(scenario, to_nginx),
                     " / ".join(f"{cpu_rounds.middle(samples[n], 'rate'):,.0f}" for n in (US, HA, NG))])
    head = ["CPU µs per request: median (min–max)", "Understudy", "HAProxy", "NGINX", "to HAProxy", "to NGINX", "goal / bar to NGINX",
            "requests/s, same order"]
    return table(head, rows)


def remarks(results):
    """What makes the figures doubtful."""
    out = []
    for name, samples in results.cpu.items():
        scenario = scenarios.by_name(name)
        if scenario.expected:
            seen = cpu_rounds.ratio(samples, HA, NG)
            if abs(seen / scenario.expected - 1) > 0.10:
                out.append(f"{scenario.title}: HAProxy to NGINX is {seen:.2f}, {seen / scenario.expected - 1:+.0%} of the {scenario.expected:.2f} measured before.")
        foreign = max(cpu_rounds.middle(list_, "foreign") for list_ in samples.values())
        if foreign > 0.05:
            out.append(f"{scenario.title}: other processes used {foreign:.0%} of a core; figures may be off.")
            continue
        low = [n for n in (US, HA, NG) if cpu_rounds.middle(samples[n], "busy") < 0.85]
        if low:
            out.append(f"{scenario.title}: the load, not the proxy, was the limit for {', '.join(low)}.")
    return out


def memory_table(results):
    head = [f"Bytes of RSS (PSS) per connection at {results.connections:,}", "Understudy", "HAProxy", "NGINX", "goal / bar (KB)"]
    rows = [[title, *(f"{row[n][0]:,.0f} ({row[n][1]:,.0f})" for n in (US, HA, NG)), f"{goals[0]:g} / {goals[1]:g}"]
            for title, row, goals in results.memory]
    rows.append(["RSS before them (MiB)", *(f"{results.memory[0][1][n][2] / 2**20:.1f}" for n in (US, HA, NG)), ""])
    return table(head, rows)


def latency_table(results):
    names = ["direct", US, HA, NG]
    head = [f"Latency in µs at {results.rate:,}/s, open loop, GET 128 B", "no proxy", "Understudy", "HAProxy", "NGINX"]
    rows = [[label, *(f"{results.latency[n][key]:,.0f}" for n in names)] for label, key in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"))]
    rows.append(["CPU µs per request", "", *(f"{results.latency[n]['cpu']:.1f}" for n in names[1:])])
    rows.append(["requests/s reached", *(f"{results.latency[n]['rate']:,.0f}" for n in names)])
    foreign = max(results.latency[n]["foreign"] for n in names)
    doubt = f"\n- Latency: other processes used {foreign:.0%} of a core; p99 and p99.9 are theirs more than the proxies'.\n" if foreign > 0.05 else ""
    return table(head, rows) + doubt


def other_table(results):
    rows = []
    if results.startup:
        rows.append(["start-up to the first answer, ms", *(f"{results.startup[n] * 1000:.0f}" for n in (US, HA, NG))])
    if results.reload:
        rows.append(["reload with 1,000 pools to the first answer by it, ms", *(f"{results.reload[n] * 1000:.0f}" for n in (US, HA, NG))])
    for name, counted in (results.syscalls or {}).items():
        rows.append([f"system calls: {scenarios.by_name(name).title}", *(f"{counted[n][0]:.2f}" for n in (US, HA, NG))])
    for name, counted in (results.instructions or {}).items():
        rows.append([f"user instructions: {scenarios.by_name(name).title}", *(f"{counted[n][0]:,.0f}" for n in (US, HA, NG))])
    return table(["", "Understudy", "HAProxy", "NGINX"], rows) if rows else ""


def scale_table(results):
    sizes = list(next(iter(results.scale.values())))
    head = ["Understudy, CPU µs per GET 128 B (share of a core when idle)", *(f"{n:,}" for n in sizes)]
    return table(head, [[kind, *(f"{v[0]:.1f} ({v[1]:.1%})" if v else "failed" for v in row.values())] for kind, row in results.scale.items()])


def functions_table(results, scenario, name=US, most=25):
    head = [f"user instructions: {scenarios.by_name(scenario).title}", "function"]
    return table(head, [[f"{number:,.0f}", f"`{function[:110]}`"] for number, function in results.instructions[scenario][name][1][:most]])


def markdown(results, options, begun, long=True):
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    parts = [f"Measured {time.strftime('%Y-%m-%d %H:%M', time.gmtime(begun))} UTC on {cpu}, kernel {platform.release()}; "
             f"{', '.join(kind.version() for kind in ALL)}. One worker each on one core, load and origin on another, loopback; "
             f"{options.rounds} interleaved rounds of {options.seconds:g} s; ratios are medians of the rounds' ratios. "
             "Every body was compared byte by byte before it was timed.\n"]
    if results.cpu:
        parts.append(cpu_table(results))
        doubts = remarks(results)
        parts.append("\n".join("- " + doubt for doubt in doubts) + "\n" if doubts else
                     "HAProxy to NGINX is within 10 % of what was measured before, and the machine was quiet.\n")
    if results.failed:
        parts.append("\n".join("- **failed**: " + text for text in results.failed) + "\n")
    if results.memory:
        parts.append(memory_table(results))
    if results.latency:
        parts.append(latency_table(results))
    parts.append(other_table(results))
    if results.scale:
        parts.append(scale_table(results))
    if results.instructions and long:
        parts += [functions_table(results, scenario) for scenario in results.instructions]
    if results.micro and long:
        parts.append(table(["micro-benchmark", "ns"], [[name, f"{value:,.1f}"] for name, value in results.micro]))
    return "\n".join(part for part in parts if part)


BEGIN, END = "<!-- made by tests/bench/run --readme -->\n", "<!-- end of what was made -->\n"


def put_into(path, text):
    """Replaces what stands between the two marks of a file."""
    with open(path) as file:
        before, _, rest = file.read().partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise RuntimeError(f"{path} has no lines '{BEGIN.strip()}' and '{END.strip()}' to write between")
    with open(path, "w") as file:
        file.write(before + BEGIN + "\n" + text + "\n" + END + after)
