"""What the stories share: the real binary, origins as processes, raw clients. Loopback only, free ports, bounded waits.

A story is a unittest.TestCase derived from Story. Processes are ended by the handles they were started with.
"""
import collections
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.environ.get("UNDERSTUDY_BINARY") or os.path.join(HERE, "../../build/release/understudy")
SLOW = float(os.environ.get("UNDERSTUDY_SLOW", "1"))   # sanitizer builds stretch waits


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(what, seconds=10, every=0.02):
    """Waits until what() is true; returns its value or fails with its name."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %.1f s in vain for: %s" % (seconds * SLOW, what.__name__))
        time.sleep(every)


class Process:
    def __init__(self, args, **options):
        self.args = args
        self.popen = subprocess.Popen(args, **options)

    @property
    def pid(self):
        return self.popen.pid

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.kill()
        self.popen.wait(10)
        if self.popen.stdout:
            self.popen.stdout.close()

    def alive(self):
        return self.popen.poll() is None

    def rss(self):
        with open("/proc/%d/statm" % self.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def cpu(self):
        with open("/proc/%d/stat" % self.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Origin(Process):
    def __init__(self, name, *args, port=None):
        extra = list(args) + (["--port", str(port)] if port else [])
        super().__init__(["/usr/bin/python3", os.path.join(HERE, "origin.py"), name, *extra], stdout=subprocess.PIPE)
        self.name = name
        self.port = int(self.popen.stdout.readline())

        host = args[args.index("--bind") + 1] if "--bind" in args else "127.0.0.1"
        self.address = "unix:" + args[args.index("--unix") + 1] if "--unix" in args else \
            ("[%s]:%d" if ":" in host else "%s:%d") % (host, self.port)


class Proxy(Process):
    count = 0

    def __init__(self, folder, config, args=("--keep-root",), env=None, pass_fds=(), preexec=None, wait=True, launcher=()):
        self.folder = folder
        self.path = os.path.join(folder, "understudy.toml")
        self.admin = "unix:" + os.path.join(folder, "admin.sock")
        Proxy.count += 1
        self.log_path = os.path.join(folder, "events-%d.log" % Proxy.count)
        self.write(config)
        self.log = open(self.log_path, "ab")
        super().__init__([*launcher, BINARY, "run", "-c", self.path, *args], stderr=self.log, stdout=self.log,
                         env={**os.environ, **(env or {})}, pass_fds=pass_fds, preexec_fn=preexec)
        if wait:
            def ready():
                if not self.alive():
                    raise AssertionError("understudy ended with %s:\n%s" % (self.popen.returncode, self.events_text()))
                return " serves " in self.events_text()
            wait_until(ready, 20)

    def write(self, config):
        with open(self.path + ".new", "w") as f:
            f.write(config)
        os.rename(self.path + ".new", self.path)

    def events_text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def cli(self, *args, check=True, timeout=30):
        result = subprocess.run([BINARY, *args, "--admin", self.admin], capture_output=True, text=True, timeout=timeout * SLOW)
        if check and result.returncode != 0:
            raise AssertionError("%s: exit %d\n%s%s" % (args, result.returncode, result.stdout, result.stderr))
        return result

    def get(self, path, headers=None):
        """One GET on the admin socket; (status, body)."""
        class Connection(http.client.HTTPConnection):
            def connect(inner):
                inner.sock = socket.socket(socket.AF_UNIX)
                inner.sock.settimeout(20 * SLOW)
                inner.sock.connect(self.admin[5:])
        connection = Connection("localhost")
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def status(self):
        return json.loads(self.get("/api/v1/status")[1])

    def active(self, pool="app"):
        return next(p["active"] for p in self.status()["pools"] if p["name"] == pool)

    def events(self, kind=None):
        events = json.loads(self.get("/api/v1/events?since=0")[1])["events"]
        return [e for e in events if kind is None or e["kind"] == kind]

    def metric(self, name, **labels):
        """Sum of the samples of a family that carry these labels."""
        total = 0.0
        found = False
        for line in self.get("/metrics")[1].splitlines():
            if not line.startswith("understudy_" + name):
                continue
            rest = line[len("understudy_" + name):]
            if rest[:1] not in ("{", " "):
                continue
            if all('%s="%s"' % (k, v) in rest for k, v in labels.items()):
                total += float(rest.rsplit(" ", 1)[1])
                found = True
        if not found:
            raise AssertionError("no metric %s with %s" % (name, labels))
        return total

    def endpoint(self, label):
        for pool in self.status()["pools"]:
            for tier in pool["tiers"]:
                for endpoint in tier["endpoints"]:
                    if endpoint["label"] == label:
                        return endpoint
        raise AssertionError("no endpoint " + label)


class Story(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="understudy-")
        self.processes = []
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.addCleanup(self.stop_all)

    def stop_all(self):
        failed = self._outcome and any(error for _, error in getattr(self._outcome, "errors", []))
        result = getattr(self._outcome, "result", None)
        if result is not None:
            failed = failed or any(test is self for test, _ in result.failures + result.errors)
        for process in reversed(self.processes):
            if isinstance(process, Proxy):
                text = process.events_text()
                if failed or "ERROR: AddressSanitizer" in text or "WARNING: ThreadSanitizer" in text or "runtime error:" in text:
                    sys.stderr.write("--- log of %s\n%s\n" % (self.id(), text[-6000:]))
        for process in reversed(self.processes):
            process.kill()
            if isinstance(process, Proxy):
                process.log.close()
                text = process.events_text()
                self.assertNotIn("ERROR: AddressSanitizer", text)
                self.assertNotIn("WARNING: ThreadSanitizer", text)
                self.assertNotIn("runtime error:", text)

    def path(self, name):
        return os.path.join(self.folder, name)

    def origin(self, name, *args, port=None):
        origin = Origin(name, *args, port=port)
        self.processes.append(origin)
        return origin

    def start(self, args, **options):
        process = Process(args, **options)
        self.processes.append(process)
        return process

    def config(self, primary, standby=(), pool="", check='path = "/healthz"\ninterval = "200ms"\ntimeout = "500ms"\nfall = 2\nrise = 2',
               listen="", server="", more="", port=None):
        self.port = port or getattr(self, "port", None) or free_port()
        quoted = lambda items: "[" + ", ".join(i if i.startswith("{") else '"%s"' % i for i in items) + "]"
        return f"""
[server]
state_dir = "{self.folder}/state"
shutdown_grace = "5s"
{server}
[admin]
listen = "unix:{self.folder}/admin.sock"
[listen.web]
address = "127.0.0.1:{self.port}"
{listen}
[check]
{check}
[pool.app]
primary = {quoted(primary)}
""" + (f"standby = {quoted(standby)}\n" if standby else "") + pool + "\n" + more + "\n"

    def proxy(self, config, **options):
        proxy = Proxy(self.folder, config, **options)
        self.processes.append(proxy)
        return proxy

    def await_healthy(self, proxy, *labels):
        def all_healthy():
            return all(proxy.endpoint(label)["available"] for label in labels)
        wait_until(all_healthy, 15)

    def blackhole(self):
        """Address of a listener whose queue is full: the kernel drops what comes, so connects hang."""
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            self.addCleanup(filler.close)
        time.sleep(0.05)
        return "127.0.0.1:%d" % listener.getsockname()[1]

    def tally(self, count, **request):
        """Bodies of `count` successful requests, one after another, with how often each came."""
        bodies = collections.Counter()
        for _ in range(count):
            status, _, body = self.request(**request)
            self.assertEqual(status, 200)
            bodies[body.decode().rsplit(" ", 1)[-1]] += 1
        return bodies

    @staticmethod
    def access_lines(path):
        with open(path) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    # -- clients

    def connect(self, port=None, timeout=10, tls=None, name="localhost"):
        s = socket.create_connection(("127.0.0.1", port or self.port), timeout=timeout * SLOW)
        self.addCleanup(s.close)
        if tls:
            s = tls.wrap_socket(s, server_hostname=name)
            self.addCleanup(s.close)
        return s

    def raw(self, data, port=None, timeout=10, tls=None):
        """Sends bytes, reads until the proxy closes or nothing comes for the timeout."""
        s = self.connect(port, timeout, tls)
        s.sendall(data)
        return self.read_all(s)

    @staticmethod
    def read_all(s):
        out = b""
        try:
            while True:
                data = s.recv(65536)
                if not data:
                    return out
                out += data
        except (socket.timeout, TimeoutError):
            return out
        except ConnectionError:
            return out

    @staticmethod
    def read_answer(s, head_only=False):
        """(status, headers, body) of one answer; surplus bytes are an error."""
        f = s.makefile("rb")
        answer = http.client.HTTPResponse(s, method="HEAD" if head_only else "GET")
        answer.fp.close()
        answer.fp = f
        answer.begin()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def request(self, method="GET", path="/hello", headers=None, body=None, port=None, timeout=10, source=None):
        """`source`: the loopback address that the client has."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout * SLOW,
                                                source_address=(source, 0) if source else None)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()


def certificate(folder, name, names=(), ca=None, days=30):
    """Makes key and certificate with openssl; returns their paths. `ca` is (certificate, key) or None for self-signed."""
    cert, key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
    run = lambda *a: subprocess.run(["openssl", *a], check=True, capture_output=True)
    run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    alt = "subjectAltName=" + ",".join(("IP:" if n[0].isdigit() else "DNS:") + n for n in (names or (name,)))
    if ca is None:
        run("req", "-x509", "-new", "-key", key, "-days", str(days), "-subj", "/CN=" + name, "-addext", alt, "-out", cert)
    else:
        csr, ext = cert + ".csr", cert + ".ext"
        run("req", "-new", "-key", key, "-subj", "/CN=" + name, "-out", csr)
        with open(ext, "w") as f:
            f.write(alt + "\n")
        run("x509", "-req", "-in", csr, "-CA", ca[0], "-CAkey", ca[1], "-CAcreateserial", "-days", str(days), "-extfile", ext, "-out", cert)
    return cert, key


def client_tls(ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        context.load_verify_locations(ca)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
