#!/usr/bin/python3
"""Checks the layout of the sources: who includes whom, and what pure folders may not touch.

    arrows_check.py [ROOT]      exit code 0 when all is well, else 1 and one "file:line: …" a breach

Arrows (CONTRIBUTING.md) point to what is known:

    config <- health <- route, balance, limit <- exchange <- net, probe, observe, admin <- server <- demo <- drill <- cli
    config <- http   <-

Every run first proves on small made-up trees that each kind of breach is found.
"""
import os
import re
import sys
import tempfile

LEVEL = {
    "config": 0, "health": 1, "proxy/http": 1,
    "proxy/route": 2, "proxy/balance": 2, "proxy/limit": 2,
    "proxy/exchange": 3,
    "proxy/observe": 4, "proxy/net": 5, "proxy/probe": 5, "proxy/admin": 5,
    "proxy/server": 6, "proxy/demo": 7, "proxy/drill": 8, "proxy/cli": 9,
    "proxy": 10,  # main.cpp
}
PURE = {"config", "health", "proxy/http", "proxy/route", "proxy/balance", "proxy/limit", "proxy/exchange"}
SOURCE = (".hpp", ".cpp")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
EDGE_HEADERS = re.compile(
    r"^(boost/asio|boost/beast|openssl/|spdlog/|fmt/|ares\.h|systemd/|sys/socket\.h|sys/epoll\.h|netinet/|netdb\.h|poll\.h"
    r"|unistd\.h|fcntl\.h|thread$|mutex$|shared_mutex$|condition_variable$|future$|pthread\.h|semaphore)")
EDGE_CALLS = [
    (re.compile(r"\bnow\s*\(\s*\)"), "asks for the time"),
    (re.compile(r"\b(clock_gettime|gettimeofday|std::time|::time)\s*\("), "asks for the time"),
    (re.compile(r"\b(sleep|usleep|nanosleep|sleep_for|sleep_until)\s*\("), "sleeps"),
    (re.compile(r"\bstd::(jthread|thread|this_thread|async|mutex|condition_variable)\b|\bpthread_"), "uses threads"),
]
STRING_OR_COMMENT = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^()\\ ]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.S)


def folder_of(path):
    """The folder of the tree that a path belongs to, by its longest known prefix."""
    parts = path.split("/")[:-1]
    while parts:
        name = "/".join(parts)
        if name in LEVEL:
            return name
        parts.pop()
    return None


def code_only(text):
    """The text with comments and literals blanked, lines kept."""
    return STRING_OR_COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def may_include(folder, other):
    if folder == other:
        return True
    if folder == "proxy/http":
        return other == "config"
    return LEVEL[other] < LEVEL[folder]


def check_source(path, text):
    """Breaches of one file of config, health or proxy, as (line, message)."""
    folder = folder_of(path)
    stem = os.path.splitext(os.path.basename(path))[0]
    for number, line in enumerate(text.split("\n"), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match.group(2)
        other = folder_of(header) if match.group(1) == '"' else None
        if match.group(1) == '"' and other is None and "/" in header:
            yield number, f'"{header}" is not a path from the root of the tree'
        if other and not may_include(folder, other):
            yield number, f"{folder} must not know {other} (\"{header}\")"
        if header.startswith("toml++/") and not (folder == "config" and (stem.startswith("load") or stem == "document")):
            yield number, "toml++ belongs in config/load*.cpp and config/document.cpp only"
        if header.startswith("nghttp2/") and not (folder == "proxy/http" and stem == "h2_codec"):
            yield number, "nghttp2 belongs in proxy/http/h2_codec only"
        if folder in PURE and EDGE_HEADERS.match(header):
            yield number, f"{folder} is pure: no <{header}>"
        if folder in PURE and header == "arpa/inet.h" and folder != "config":
            yield number, "arpa/inet.h (inet_pton) belongs in config only"
    if folder in PURE:
        for number, line in enumerate(code_only(text).split("\n"), 1):
            for pattern, what in EDGE_CALLS:
                if pattern.search(line):
                    yield number, f"{folder} is pure, but this {what}: {line.strip()[:80]}"


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def sources(root, tops):
    for top in tops:
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(files):
                yield os.path.relpath(os.path.join(folder, name), root)


def check(root):
    for path in sources(root, ["config", "health", "proxy"]):
        if path.endswith(SOURCE):
            for number, message in check_source(path, read(root, path)):
                yield path, number, message


def self_test():
    """Each case: a tree, and what must be said about it (path, line); none for a sound one."""
    cases = [
        ({"health/a.cpp": '#include "health/b.hpp"\n#include "config/model.hpp"\n#include <chrono>\n// now() in words\n'
                          'auto s = "sleep(1)"; int now = 3; TimePoint now_;\n'}, []),
        ({"health/a.cpp": '\n#include "proxy/net/a.hpp"\n'}, [("health/a.cpp", 2)]),
        ({"config/a.cpp": '#include "health/a.hpp"\n'}, [("config/a.cpp", 1)]),
        ({"proxy/http/a.cpp": '#include "health/a.hpp"\n'}, [("proxy/http/a.cpp", 1)]),
        ({"proxy/net/a.cpp": '#include "proxy/server/run.hpp"\n'}, [("proxy/net/a.cpp", 1)]),
        ({"proxy/net/a.cpp": '#include "proxy/observe/log.hpp"\n#include <openssl/ssl.h>\nauto t = Clock::now();\n'}, []),
        ({"proxy/net/a.cpp": '#include "proxy/probe/x.hpp"\n'}, [("proxy/net/a.cpp", 1)]),
        ({"health/a.cpp": '#include "types/model.hpp"\n'}, [("health/a.cpp", 1)]),
        ({"health/a.cpp": "#include <boost/asio/ip/tcp.hpp>\n"}, [("health/a.cpp", 1)]),
        ({"health/a.hpp": "/* now()\n now() */\nauto t = steady_clock::now();\n"}, [("health/a.hpp", 3)]),
        ({"health/a.cpp": "std::this_thread::sleep_for(x);\n"}, [("health/a.cpp", 1), ("health/a.cpp", 1)]),
        ({"health/a.cpp": "#include <sys/socket.h>\n"}, [("health/a.cpp", 1)]),
        ({"health/a.cpp": "#include <arpa/inet.h>\n"}, [("health/a.cpp", 1)]),
        ({"config/a.cpp": "#include <arpa/inet.h>\n#include <toml++/toml.h>\n"}, [("config/a.cpp", 2)]),
        ({"config/load_x.cpp": "#include <toml++/toml.h>\n"}, []),
        ({"proxy/http/h2_codec.cpp": "#include <nghttp2/nghttp2.h>\n"}, []),
        ({"proxy/http/a.cpp": "#include <nghttp2/nghttp2.h>\n"}, [("proxy/http/a.cpp", 1)]),
    ]
    for files, expected in cases:
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            found = [(path, line) for path, line, _ in check(root)]
            if found != expected:
                sys.exit(f"self test: {list(files)} gave {found}, not {expected}")


def main():
    self_test()
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    breaches = list(check(root))
    for path, line, message in breaches:
        print(f"{path}:{line}: {message}")
    print(f"{len(breaches)} breaches" if breaches else "arrows and purity are in order")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
