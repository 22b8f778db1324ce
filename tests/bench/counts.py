"""What can be counted instead of timed, and is the same on a busy machine: system calls (strace) and user instructions (callgrind)."""
import os
import re
import signal
import subprocess
import time

import machine
import scenarios
from proxies import Haproxy, Nginx, Understudy

# Requests counted under callgrind; four times as many under strace.
REQUESTS = {"get128": 4000, "connect": 2000, "tls128": 2000, "tlsfull": 400, "tlsresumed": 400}


def each(count, say):
    """{scenario: {proxy: what was counted}}"""
    return {name: count(scenarios.by_name(name), requests, say) for name, requests in REQUESTS.items()}


def syscalls(load, makers, say):
    return each(lambda *what: count_calls(load, makers, *what), say)


def instructions(load, folder, say):
    return each(lambda *what: count_instructions(load, folder, *what), say)


def count_calls(load, makers, scenario, requests, say):
    """{name: (calls per request, {call: per request})}. strace slows the proxy, so that it finds more per wake-up than at full speed."""
    out = {}
    for name, make in makers.items():
        proxy = make()
        try:
            proxy.start()
            load.run(**scenario.job(proxy), count=requests)
            words = sum((["-p", str(pid)] for pid in proxy.pids()), [])
            tracer = machine.start(["strace", "-f", "-c", "-qq", "-U", "name,calls", *words], machine.PROXY_CORE,
                                   stderr=subprocess.PIPE, text=True)
            time.sleep(1)
            ran = load.run(**scenario.job(proxy), count=requests * 4)
            tracer.send_signal(signal.SIGINT)
            text = tracer.communicate(timeout=20)[1]
        finally:
            proxy.stop()
        calls = {found[0]: int(found[1]) / ran["requests"] for found in re.findall(r"^\s*(\w+)\s+(\d+)\s*$", text, re.M)}
        calls.pop("total", None)
        out[name] = (sum(calls.values()), {k: v for k, v in calls.items() if v >= 0.01})
        say(f"  system calls {scenario.name:11} {name:11} {out[name][0]:6.2f} ({', '.join(f'{k} {v:.2f}' for k, v in out[name][1].items())})")
    return out


class SingleNginx(Nginx):
    single = True


def count_instructions(load, folder, scenario, requests, say):
    """{name: (instructions per request, [(instructions, function), ...])}, counted between two commands to callgrind."""
    return {kind.name: count_one(load, folder, scenario, requests, say, kind) for kind in (Understudy, Haproxy, SingleNginx)}


def count_one(load, folder, scenario, requests, say, kind):
    counted = os.path.join(folder, f"callgrind.{scenario.name}.{kind.name}")
    proxy = kind(folder, load.port, wrapper=["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={counted}"])
    try:
        proxy.start(90)
        load.run(**scenario.job(proxy), count=min(requests, 500))
        control(proxy, "--instr=on")
        ran = load.run(**scenario.job(proxy), count=requests)
        control(proxy, "--instr=off")
        control(proxy, "--dump")
        if not machine.wait_until(lambda: os.path.exists(counted + ".1"), 20):
            raise RuntimeError(f"callgrind wrote nothing for {kind.name}")
    finally:
        proxy.stop()
    text = subprocess.run(["callgrind_annotate", "--threshold=95", counted + ".1"], capture_output=True, text=True, timeout=120).stdout
    total, functions = read_annotation(text, ran["requests"])
    say(f"  user instructions {scenario.name:11} {kind.name:11} {total:9.0f}")
    return total, functions


def control(proxy, what):
    subprocess.run(["callgrind_control", what, str(proxy.process.pid)], check=True, capture_output=True, timeout=60)
    time.sleep(0.5)


def read_annotation(text, requests):
    total, functions = 0.0, []
    for line in text.splitlines():
        found = re.match(r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+(.*)$", line)
        if not found:
            continue
        number = int(found.group(1).replace(",", "")) / requests
        if "PROGRAM TOTALS" in found.group(2):
            total = number
        else:
            functions.append((number, function_name(found.group(2))))
    return total, functions


def function_name(place):
    """The function of `file:function(parameters) [object]`."""
    function = re.sub(r"\s*\[[^\]]*\]$", "", place).partition(":")[2]
    return function.partition("(")[0] or function
