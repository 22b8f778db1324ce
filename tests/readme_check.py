#!/usr/bin/python3
"""Checks that a stranger finds things where their names say: every folder with sources has a README.md that names each of them,
and no source is too long to be read in one sitting.

    readme_check.py [ROOT]      exit code 0 when all is well, else 1 and one "file:line: …" a breach

A source is named by its stem (`units` for units.cpp and units.hpp; a test also without its ending, `units` for units_test.cpp).
Above 600 lines a file must stand in CONTRIBUTING.md with a reason. Data (corpora, golden cases, generated pages) is not asked for.
Every run first proves on small made-up trees that each kind of breach is found.
"""
import os
import re
import sys
import tempfile

MOST_LINES = 600
CODE = (".cpp", ".hpp", ".py", ".js", ".mjs", ".cmake", ".sh")
SETUP = (".toml", ".service", ".conf")          # sources in deploy/; data elsewhere
NO_SOURCES = {".git", "build", "corpus", "node_modules", "__pycache__"}
TEST_ENDINGS = ("_test", "_fuzz", "_bench")


def is_source(root, path):
    name = os.path.basename(path)
    if name.endswith(CODE):
        return True
    if name.endswith(SETUP):
        return path.startswith("deploy/")
    return "." not in name and os.access(os.path.join(root, path), os.X_OK)


def sources(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in NO_SOURCES and not f.startswith("."))
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), root)
            if is_source(root, path):
                yield path


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def names_of(path):
    """What a README may call a file."""
    stem = os.path.splitext(os.path.basename(path))[0]
    names = [stem]
    for ending in TEST_ENDINGS:
        if path.startswith("tests/") and stem.endswith(ending):
            names.append(stem[:-len(ending)])
    return names


def is_named(path, text):
    return any(re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", text) for name in names_of(path))


def check_names(root, paths):
    by_folder = {}
    for path in paths:
        by_folder.setdefault(os.path.dirname(path), []).append(path)
    for folder, members in sorted(by_folder.items()):
        readme = os.path.join(folder, "README.md")
        if not os.path.exists(os.path.join(root, readme)):
            yield readme, 1, "missing: each folder has a few lines that name its files"
            continue
        text = read(root, readme)
        said = set()
        for path in members:
            if not is_named(path, text) and names_of(path)[0] not in said:
                said.add(names_of(path)[0])
                yield readme, 1, f"does not name '{names_of(path)[0]}'"


def check_sizes(root, paths):
    listed = read(root, "CONTRIBUTING.md") if os.path.exists(os.path.join(root, "CONTRIBUTING.md")) else ""
    for path in paths:
        lines = read(root, path).count("\n")
        if lines > MOST_LINES and path not in listed:
            yield path, lines, f"{lines} lines, more than {MOST_LINES}: split it by idea, or list it with a reason in CONTRIBUTING.md"


def check(root):
    paths = list(sources(root))
    yield from check_names(root, [path for path in paths if os.path.dirname(path)])
    yield from check_sizes(root, paths)


def self_test():
    """Each case: a tree, and what must be said about it (path, line); none for a sound one."""
    readme = {"health/README.md": "`a`, `b`", "tests/health/README.md": "`a`, `c_test`", "deploy/README.md": "`unit`, `go`"}
    cases = [
        ({"health/a.cpp": "", "health/b.hpp": "", "tests/health/a_test.cpp": "", "tests/health/c_test.cpp": ""}, []),
        ({"health/aa.cpp": ""}, [("health/README.md", 1)]),
        ({"health/c.cpp": "", "health/c.hpp": ""}, [("health/README.md", 1)]),
        ({"health/a_test.cpp": ""}, [("health/README.md", 1)]),           # only tests go without their ending
        ({"tests/health/d_test.cpp": ""}, [("tests/health/README.md", 1)]),
        ({"proxy/limit/a.cpp": ""}, [("proxy/limit/README.md", 1)]),
        ({"tests/bench/run.py": ""}, [("tests/bench/README.md", 1)]),
        ({"deploy/unit.service": "", "tests/health/good.toml": "", "build/x.cpp": "", "tests/corpus/x.py": ""}, []),
        ({"deploy/site.toml": ""}, [("deploy/README.md", 1)]),
        ({"deploy/go!": "", "deploy/stop!": ""}, [("deploy/README.md", 1)]),   # "!" makes it executable
        ({"health/a.cpp": "\n" * 600}, []),
        ({"health/a.cpp": "\n" * 601}, [("health/a.cpp", 601)]),
        ({"health/a.cpp": "\n" * 601, "CONTRIBUTING.md": "- `health/a.cpp`: a table"}, []),
    ]
    for files, expected in cases:
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**readme, **files}.items():
                place = os.path.join(root, path.rstrip("!"))
                os.makedirs(os.path.dirname(place), exist_ok=True)
                with open(place, "w", encoding="utf-8") as file:
                    file.write(text)
                os.chmod(place, 0o755 if path.endswith("!") else 0o644)
            found = [(path, line) for path, line, _ in check(root)]
            if found != expected:
                sys.exit(f"self test: {list(files)} gave {found}, not {expected}")


def main():
    self_test()
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    breaches = list(check(root))
    for path, line, message in breaches:
        print(f"{path}:{line}: {message}")
    print(f"{len(breaches)} breaches" if breaches else "every source is named in its folder's README, and none is too long")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
