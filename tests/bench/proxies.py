"""The three proxies: how each is configured, started, asked and ended. Their configurations are in peers/."""
import http.client
import os
import re
import shutil
import signal
import subprocess
import time

import machine

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
UNDERSTUDY = os.path.join(ROOT, "build/release/understudy")


# Both peers take the buffers of each request from malloc and give them back. Whether glibc then hands pages to the kernel and faults
# them in again depends on what happens to lie at the heap's end: HAProxy was seen at 24 and at 54 us for the same GET of 128 B.
# Who runs them in earnest keeps the heap.
KEEP_HEAP = {"MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TOP_PAD_": "67108864"}


class Proxy:
    name = ""
    template = ""
    generation_rule = ""
    environment = {}

    def __init__(self, folder, origin_port, generation=None, wrapper=(), **words):
        self.folder = os.path.join(folder, self.name)
        os.makedirs(self.folder, exist_ok=True)
        for file in ("bench.pem", "bench.key", "bench.both.pem"):
            shutil.copy(os.path.join(folder, file), self.folder)
        self.http, self.https = machine.free_ports(2)
        files = machine.open_files()
        self.words = {"FILES": files, "HALF_FILES": files // 2 - 600, "DIR": self.folder, "HTTP": self.http, "HTTPS": self.https, "ORIGIN": origin_port, "EXTRA": "",
                      "ENDPOINTS": f'"127.0.0.1:{origin_port}"', "INTERVAL": "2s", **words}
        self.config = os.path.join(self.folder, self.template)
        self.write(generation)
        self.log = open(os.path.join(self.folder, "stderr"), "ab")
        self.process = None
        self.wrapper = list(wrapper)

    def write(self, generation):
        """The configuration file; with a generation, answers bear it as X-Generation."""
        rule = self.generation_rule.format(generation) if generation is not None else ""
        with open(os.path.join(HERE, "peers", self.template)) as file:
            text = file.read()
        for word, value in {**self.words, "GENERATION": rule}.items():
            text = text.replace(f"@{word}@", str(value))
        with open(self.config + ".new", "w") as file:
            file.write(text)
        os.rename(self.config + ".new", self.config)

    def command(self):
        raise NotImplementedError

    def start(self, seconds=20):
        """Starts it and waits for the first 200 through it; returns the seconds that took."""
        begun = time.monotonic()
        self.process = machine.start([*self.wrapper, *self.command()], machine.PROXY_CORE, stdout=self.log, stderr=self.log,
                                     env={**os.environ, **self.environment})
        while self.ask() is None:
            if self.process.poll() is not None or time.monotonic() - begun > seconds:
                with open(self.log.name, errors="replace") as file:
                    raise RuntimeError(f"{self.name} does not serve:\n{file.read()[-2000:]}")
            time.sleep(0.001)
        return time.monotonic() - begun

    def ask(self):
        """The generation that answers ("" where it bears none), or None."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=2)
        try:
            connection.request("GET", "/b/16", headers={"Host": "bench.example.org", "Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            return answer.getheader("X-Generation", "") if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def pids(self):
        return machine.family(self.process.pid)

    def reload(self):
        raise NotImplementedError

    def stop(self):
        if self.process:
            for pid in reversed(self.pids()[1:]):   # a master may not forward the end to its workers in time
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass
            machine.end(self.process)
        self.log.close()


class Understudy(Proxy):
    name, template = "understudy", "understudy.toml"
    generation_rule = 'response_headers = {{ set = {{ X-Generation = "{}" }} }}'

    def command(self):
        return [UNDERSTUDY, "run", "-c", self.config, "--keep-root"]

    def reload(self):
        subprocess.run([UNDERSTUDY, "reload", "--admin", f"unix:{self.folder}/admin.sock"], check=True, capture_output=True, timeout=60)

    @staticmethod
    def version():
        return "Understudy " + first_match(UNDERSTUDY, ["version"], r"(\d+\.\d+\.\d+)")


class Haproxy(Proxy):
    name, template = "haproxy", "haproxy.cfg"
    environment = KEEP_HEAP
    generation_rule = "http-response set-header X-Generation {}"
    master = False

    def command(self):
        if self.master:
            return ["haproxy", "-W", "-f", self.config, "-p", os.path.join(self.folder, "pid")]
        return ["haproxy", "-db", "-f", self.config]

    def reload(self):
        self.process.send_signal(signal.SIGUSR2)

    @staticmethod
    def version():
        return "HAProxy " + first_match("haproxy", ["-v"], r"version (\S+)")


class Nginx(Proxy):
    name, template = "nginx", "nginx.conf"
    environment = KEEP_HEAP
    generation_rule = "add_header X-Generation {};"
    single = False   # one process, for tools that follow one

    def command(self):
        extra = ["-g", "master_process off;"] if self.single else []
        return ["nginx", "-p", self.folder, "-c", self.config, *extra]

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    @staticmethod
    def version():
        return "NGINX " + first_match("nginx", ["-v"], r"nginx/(\S+)")


def first_match(program, args, pattern):
    result = subprocess.run([program, *args], capture_output=True, text=True, timeout=10)
    found = re.search(pattern, result.stdout + result.stderr)
    return found.group(1) if found else "?"


ALL = (Understudy, Haproxy, Nginx)
