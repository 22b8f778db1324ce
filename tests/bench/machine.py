"""The machine that measures: cores, free ports, certificates, processes and what the kernel says of them."""
import os
import resource
import signal
import socket
import subprocess
import time

LOAD_CORE, PROXY_CORE = 0, 1
PRIORITY = -15   # of proxies and load alike: the less is taken from them, the narrower the spread


def allow_many_files():
    """Raises the limit of open files as far as the system lets it; returns it."""
    for wanted in (65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            break
        except (ValueError, OSError):
            continue
    return open_files()


def open_files():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def make_certificates(folder):
    """A P-256 certificate, as two files and as one."""
    key, cert = os.path.join(folder, "bench.key"), os.path.join(folder, "bench.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "30", "-subj", "/CN=bench.example.org", "-addext", "subjectAltName=DNS:bench.example.org"],
                   check=True, capture_output=True, timeout=30)
    with open(os.path.join(folder, "bench.both.pem"), "w") as both:
        for path in (cert, key):
            with open(path) as file:
                both.write(file.read())


def start(args, core, **options):
    """A process on one core, before whatever else runs on the machine, where the system allows that."""
    process = subprocess.Popen(["taskset", "-c", str(core), *args], start_new_session=True, **options)
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, PRIORITY)
        with open(f"/proc/{process.pid}/autogroup", "w") as group:   # sessions share a core first, processes within one then
            group.write(str(PRIORITY))
    except OSError:
        pass
    return process


def end(process, how=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


def family(pid):
    """A process and all below it."""
    out, todo = [], [pid]
    while todo:
        one = todo.pop()
        out.append(one)
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children") as file:
                    todo += [int(word) for word in file.read().split()]
        except OSError:
            pass
    return out


def memory(pids):
    """(RSS, PSS) in bytes of these processes."""
    rss = pss = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                words = line.split()
                if words[0] == "Rss:":
                    rss += int(words[1]) * 1024
                elif words[0] == "Pss:":
                    pss += int(words[1]) * 1024
    return rss, pss


def wait_until(what, seconds, every=0.01):
    end_at = time.monotonic() + seconds
    while time.monotonic() < end_at:
        value = what()
        if value:
            return value
        time.sleep(every)
    return None
