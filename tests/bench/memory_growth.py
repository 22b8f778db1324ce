"""What an idle connection costs in memory: a fresh process, 5,000 connections that were used once."""
import time

import machine

KINDS = [("idle keep-alive", {"path": "/b/128", "expect": 128}, False, (1.5, 3.0)),
         ("idle TLS keep-alive", {"path": "/b/128", "expect": 128}, True, (15, 18)),
         ("idle WebSocket tunnel", {"kind": "ws", "path": "/ws", "expect": 125}, False, (3, 4.7))]


def growth(load, make, words, tls, connections):
    """(bytes of RSS, bytes of PSS) per connection, and the RSS of the process before them."""
    proxy = make()
    try:
        proxy.start()
        job = {"port": proxy.https, "tls": 1, **words} if tls else {"port": proxy.http, **words}
        load.run(**job, connections=32, count=2000)   # code and first buffers are there afterwards
        time.sleep(0.2)
        before = machine.memory(proxy.pids())
        held = load.hold(**job, connections=connections)
        if held["errors"]:
            raise RuntimeError(f"{proxy.name}: {held['errors']} errors while {connections} connections were opened: {held['first_error']}")
        time.sleep(0.5)
        after = machine.memory(proxy.pids())
        load.release()
    finally:
        proxy.stop()
    return (after[0] - before[0]) / connections, (after[1] - before[1]) / connections, before[0]


def measure(load, makers, connections, say):
    rows = []
    for title, words, tls, goals in KINDS:
        row = {name: growth(load, make, words, tls, connections) for name, make in makers.items()}
        say(f"  {title:28} " + "   ".join(f"{name} {value[0]:8.0f} B" for name, value in row.items()))
        rows.append((title, row, goals))
    return rows
