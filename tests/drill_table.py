#!/usr/bin/python3
"""Runs every drill of deploy/drills/sandbox in full and writes their results into README.md, between its two marks.

    drill_table.py [--only NAME,...] [BINARY]    about nine minutes; exit code of `understudy drill`. A drill that was invalid is run
                                                 again. With --only (names of files) the rows of the others stay as they are.
"""
import argparse
import datetime
import glob
import os
import subprocess
import sys
import tempfile
import tomllib

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BEGIN, END = "<!-- made by tests/drill_table.py -->", "<!-- end of the drills -->"


def drills_of(only):
    drills = sorted(glob.glob(os.path.join(ROOT, "deploy/drills/sandbox/*.toml")))
    names = only.split(",") if only else [stem(drill) for drill in drills]
    unknown = set(names) - {stem(drill) for drill in drills}
    if unknown:
        sys.exit("no such drill: %s" % ", ".join(sorted(unknown)))
    return drills, [drill for drill in drills if stem(drill) in names]


def stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def title(drill):
    with open(drill, "rb") as file:
        return tomllib.load(file)["name"]


def keep_others(drills, rows, text):
    """The rows that were measured, among those that stand in `text` for the other drills."""
    head, made = rows.splitlines()[:2], {row.split(" | ")[0].lstrip("| "): row for row in rows.splitlines()[2:]}
    old = {row.split(" | ")[0].lstrip("| "): row for row in text.split(BEGIN)[1].split(END)[0].splitlines() if row.startswith("| ")}
    return "\n".join(head + [{**old, **made}[name] for name in map(title, drills) if name in {**old, **made}]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME,...")
    parser.add_argument("binary", nargs="?", default=os.path.join(ROOT, "build/release/understudy"))
    words = parser.parse_args()
    drills, wanted = drills_of(words.only)
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "table.md")
        code = subprocess.run([words.binary, "drill", "--retries", "2", "--markdown", table, *wanted], check=False).returncode
        if code == 2:
            return code
        with open(table, encoding="utf-8") as file:
            rows = file.read()
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    path = os.path.join(ROOT, "README.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if words.only:
        rows = keep_others(drills, rows, text)
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    made = "%s\n\nMeasured %s on %d cores, origins and clients on the same machine.\n\n%s\n%s" % (
        BEGIN, when, os.cpu_count(), rows, END)
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + made + after)
    return code


if __name__ == "__main__":
    sys.exit(main())
