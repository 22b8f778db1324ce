"""Law 7: a disk that is frozen, full or gone changes nothing for traffic and failover, and what is lost is counted."""
import os
import subprocess
import threading
import time
import unittest

from harness import SLOW, Story, wait_until
from load import Load

CHECK = 'path = "/healthz"\ninterval = "200ms"\ntimeout = "150ms"\nfall = 2\nrise = 1'


class DiskTest(Story):
    def setUp(self):
        super().setUp()
        self.p, self.s = self.origin("p"), self.origin("s")

    def mount(self, *args):
        """A file system of its own; skips the story where that is not allowed."""
        disk = self.path("disk")
        os.mkdir(disk)
        done = subprocess.run(["mount", *args, disk], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest("cannot mount: " + done.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", disk])
        return disk

    def begin(self, disk, level="info"):
        config = self.config([self.p.address], [self.s.address], check=CHECK, server="workers = 1",
                             more='[log]\nlevel = "%s"\npath = "%s/events.log"\naccess = { format = "json", path = "%s/access.log" }' %
                             (level, disk, disk)).replace('state_dir = "%s/state"' % self.folder, 'state_dir = "%s/state"' % disk)
        understudy = self.proxy(config, wait=False)
        def serving():
            try:
                return understudy.status()
            except OSError:
                return None
        wait_until(serving, 20)
        self.await_healthy(understudy, self.p.address, self.s.address)
        return understudy

    def fail_over_under_load(self, understudy, seconds=2.0):
        load = Load(self.port, gets=150, posts=0).start()
        time.sleep(0.5)
        self.p.kill()
        wait_until(lambda: understudy.active() == "standby", 5)
        time.sleep(seconds - 0.5)
        load.stop()
        self.assertEqual([r for r in load.results if r[3] != 200], [])
        self.assertLess(max(r[4] for r in load.results), 1 * SLOW)

    def test_a_frozen_file_system_under_the_logs_and_the_state(self):
        image = self.path("image")
        with open(image, "wb") as f:
            f.truncate(16 << 20)
        made = subprocess.run(["mkfs.ext4", "-q", "-F", image], capture_output=True)
        if made.returncode != 0:
            self.skipTest("mkfs.ext4 does not work here")
        disk = self.mount("-o", "loop", image)
        understudy = self.begin(disk)
        if subprocess.run(["fsfreeze", "-f", disk], capture_output=True).returncode != 0:
            self.skipTest("fsfreeze does not work here")
        self.addCleanup(subprocess.run, ["fsfreeze", "-u", disk], capture_output=True)
        self.fail_over_under_load(understudy)
        s = self.connect()
        for _ in range(6000):       # more than a ring holds
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(self.read_answer(s)[0], 200)
        dropped = understudy.metric("log_lines_dropped_total", log="access")
        self.assertGreater(dropped, 0)
        understudy.cli("maintenance", "app", "on")     # nor are operators held up
        understudy.cli("maintenance", "app", "off")
        subprocess.run(["fsfreeze", "-u", disk], check=True)
        def written():
            try:
                with open(os.path.join(disk, "state/state.json")) as f:
                    return '"active_tier":"standby"' in f.read()
            except FileNotFoundError:
                return False
        wait_until(written, 10)
        wait_until(lambda: "access records dropped" in open(os.path.join(disk, "events.log")).read(), 10)
        def logs_again():       # what still waits has to go first: a record may find no room once more
            self.assertEqual(self.request(path="/after")[0], 200)
            return any(line["path"] == "/after" for line in self.access_lines(os.path.join(disk, "access.log")))
        wait_until(logs_again, 10)

    def test_a_full_file_system_under_the_logs_and_the_state(self):
        disk = self.mount("-t", "tmpfs", "-o", "size=256k", "tmpfs")
        understudy = self.begin(disk)
        filler = os.open(os.path.join(disk, "filler"), os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(filler, b"x" * 4096)
        except OSError:
            os.close(filler)
        self.fail_over_under_load(understudy)
        wait_until(lambda: understudy.metric("log_write_errors_total") > 1, 5)
        # Said where it can be said: on standard error.
        self.assertIn("cannot write the access log", understudy.events_text())
        self.assertIn("the state is not kept", understudy.events_text())
        os.unlink(os.path.join(disk, "filler"))
        wait_until(lambda: "can be written again" in understudy.events_text(), 10)
        understudy.cli("drain", self.s.address)
        wait_until(lambda: os.path.exists(os.path.join(disk, "state/state.json")), 10)

    def with_secret(self, pipe):
        return self.config([self.p.address], [self.s.address], check=CHECK,
                           more='[[route]]\nmatch = { path = "/secret" }\nrespond = { body = "${file:%s}" }\n[[route]]\npool = "app"' % pipe)

    def test_a_reload_that_hangs_in_its_files_holds_nobody_else_up(self):
        pipe = self.path("secret")
        os.mkfifo(pipe)             # reading it blocks until somebody writes: a disk that does not answer
        understudy = self.proxy(self.config([self.p.address], [self.s.address], check=CHECK))
        self.await_healthy(understudy, self.p.address, self.s.address)
        understudy.write(self.with_secret(pipe))
        results = []
        callers = [threading.Thread(target=lambda: results.append(understudy.cli("reload"))) for _ in range(3)]
        for caller in callers:
            caller.start()
        time.sleep(0.3)
        self.fail_over_under_load(understudy)
        self.assertEqual(results, [])
        self.assertEqual(understudy.metric("starved_total"), 0)
        end = time.monotonic() + 20 * SLOW
        while len(results) < 3 and time.monotonic() < end:       # the first reads it, those who came later get a reload of their own
            try:
                fd = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
                os.write(fd, b"sesame\n")
                os.close(fd)
            except OSError:
                pass
            time.sleep(0.05)
        for caller in callers:
            caller.join()
        self.assertTrue(all('"generation"' in r.stdout or "reloaded" in r.stdout for r in results), results)
        self.assertGreaterEqual(understudy.metric("config_reloads_total", result="applied"), 2)
        self.assertEqual(self.request(path="/secret")[2], b"sesame")

    def test_a_stop_does_not_wait_for_a_reload_that_hangs(self):
        pipe = self.path("secret")
        os.mkfifo(pipe)
        understudy = self.proxy(self.config([self.p.address]))
        understudy.write(self.with_secret(pipe))
        caller = threading.Thread(target=lambda: understudy.cli("reload", check=False))
        caller.start()
        time.sleep(0.3)
        understudy.signal(15)
        self.assertEqual(understudy.popen.wait(8 * SLOW), 0)
        caller.join()


if __name__ == "__main__":
    unittest.main(verbosity=2)
