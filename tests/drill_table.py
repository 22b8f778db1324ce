#!/usr/bin/python3
"""Runs every drill of deploy/drills/sandbox in full and writes their results into README.md, between its two marks.

    drill_table.py [BINARY]     about seven minutes; exit code of `understudy drill`. A drill that was invalid is run again.
"""
import datetime
import glob
import os
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BEGIN, END = "<!-- made by tests/drill_table.py -->", "<!-- end of the drills -->"


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build/release/understudy")
    drills = sorted(glob.glob(os.path.join(ROOT, "deploy/drills/sandbox/*.toml")))
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "table.md")
        code = subprocess.run([binary, "drill", "--retries", "2", "--markdown", table, *drills], check=False).returncode
        if code == 2:
            return code
        with open(table, encoding="utf-8") as file:
            rows = file.read()
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    path = os.path.join(ROOT, "README.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    made = "%s\n\nMeasured %s on %d cores, origins and clients on the same machine.\n\n%s\n%s" % (
        BEGIN, when, os.cpu_count(), rows, END)
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + made + after)
    return code


if __name__ == "__main__":
    sys.exit(main())
