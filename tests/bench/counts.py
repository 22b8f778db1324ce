"""What can be counted instead of timed: system calls (strace) and user instructions (callgrind) per GET of 128 B."""
import os
import re
import signal
import subprocess
import time

import machine
from proxies import Haproxy, Nginx, Understudy

REQUESTS = 4000
JOB = {"path": "/b/128", "expect": 128, "connections": 64}


def syscalls(load, makers, say):
    """{name: (calls per request, {call: per request})}. strace slows the proxy, so that it finds more per wake-up than at full speed."""
    out = {}
    for name, make in makers.items():
        proxy = make()
        try:
            proxy.start()
            load.run(port=proxy.http, **JOB, count=2000)
            words = sum((["-p", str(pid)] for pid in proxy.pids()), [])
            tracer = machine.start(["strace", "-f", "-c", "-qq", "-U", "name,calls", *words], machine.PROXY_CORE,
                                   stderr=subprocess.PIPE, text=True)
            time.sleep(1)
            ran = load.run(port=proxy.http, **JOB, count=REQUESTS * 4)
            tracer.send_signal(signal.SIGINT)
            text = tracer.communicate(timeout=20)[1]
        finally:
            proxy.stop()
        calls = {found[0]: int(found[1]) / ran["requests"] for found in re.findall(r"^\s*(\w+)\s+(\d+)\s*$", text, re.M)}
        calls.pop("total", None)
        out[name] = (sum(calls.values()), {k: v for k, v in calls.items() if v >= 0.01})
        say(f"  system calls {name:12} {out[name][0]:6.2f} per GET ({', '.join(f'{k} {v:.2f}' for k, v in out[name][1].items())})")
    return out


class SingleNginx(Nginx):
    single = True


def instructions(load, folder, say):
    """{name: (instructions per request, [(instructions, function), ...])}, counted between two commands to callgrind."""
    out = {}
    for kind in (Understudy, Haproxy, SingleNginx):
        counted = os.path.join(folder, f"callgrind.{kind.name}")
        proxy = kind(folder, load.port, wrapper=["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={counted}"])
        try:
            proxy.start(90)
            load.run(port=proxy.http, **JOB, count=500)
            control(proxy, "--instr=on")
            ran = load.run(port=proxy.http, **JOB, count=REQUESTS)
            control(proxy, "--instr=off")
            control(proxy, "--dump")
            if not machine.wait_until(lambda: os.path.exists(counted + ".1"), 20):
                raise RuntimeError(f"callgrind wrote nothing for {kind.name}")
        finally:
            proxy.stop()
        text = subprocess.run(["callgrind_annotate", "--threshold=95", counted + ".1"], capture_output=True, text=True, timeout=120).stdout
        total, functions = read_annotation(text, ran["requests"])
        out[kind.name] = (total, functions)
        say(f"  user instructions {kind.name:12} {total:8.0f} per GET")
    return out


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
