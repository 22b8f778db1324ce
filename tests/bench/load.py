"""understudy_load (origin and client in one process) as an object."""
import json
import os
import selectors
import subprocess
import time

import machine


class LoadError(RuntimeError):
    pass


class Load:
    def __init__(self, binary):
        self.process = machine.start([binary], machine.LOAD_CORE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.text = b""
        self.port = self.answer(10)["port"]

    def answer(self, seconds):
        end = time.monotonic() + seconds
        out = self.process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while b"\n" not in self.text:
                if not selector.select(max(0, end - time.monotonic())):
                    raise LoadError(f"the load process did not answer within {seconds:.0f} s")
                piece = os.read(out, 65536)
                if not piece:
                    raise LoadError("the load process ended")
                self.text += piece
        line, self.text = self.text.split(b"\n", 1)
        answer = json.loads(line)
        if "failed" in answer:
            raise LoadError(answer["failed"])
        return answer

    def tell(self, verb, patience, **words):
        line = " ".join([verb] + [f"{key}={value}" for key, value in words.items()])
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.answer(patience)

    def run(self, **words):
        return self.tell("run", 40 + float(words.get("seconds", 1)), **words)

    def hold(self, **words):
        return self.tell("hold", 90, **words)

    def release(self):
        self.tell("release", 10)

    def wide(self):
        """A port of the origin on every address of 127.0.0.0/8."""
        return self.tell("wide", 10)["port"]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        self.process.stdout.close()
