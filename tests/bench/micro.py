"""The micro-benchmarks (Google Benchmark), one binary after the other on the proxy's core."""
import glob
import json
import os
import subprocess

import machine
from proxies import ROOT


def run(say, seconds=0.1):
    """[(name, nanoseconds of CPU)]."""
    out = []
    for binary in sorted(glob.glob(os.path.join(ROOT, "build/release/*_bench"))):
        process = machine.start([binary, f"--benchmark_min_time={seconds}", "--benchmark_format=json"], machine.PROXY_CORE,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            text = process.communicate(timeout=300)[0]
        finally:
            machine.end(process)
        for one in json.loads(text)["benchmarks"]:
            if one.get("error_occurred"):
                raise RuntimeError(f"{os.path.basename(binary)}: {one['name']}: {one.get('error_message')}")
            scale = {"ns": 1, "us": 1e3, "ms": 1e6}[one["time_unit"]]
            name = one["name"] + (f" ({one['label']})" if one.get("label") else "")
            out.append((os.path.basename(binary)[:-6] + ": " + name, one["cpu_time"] * scale))
            say(f"  {out[-1][0]:60} {out[-1][1]:12.1f} ns")
    return out
