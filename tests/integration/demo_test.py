"""`understudy demo` as its spectator sees it: the bounded run, a busy address, Ctrl-C in the middle."""
import re
import signal
import socket
import subprocess
import unittest

from harness import BINARY, SLOW, Story, free_port


class DemoTest(Story):
    def demo(self, *args, **options):
        return self.start([BINARY, "demo", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def addresses(self):
        return ("--listen", "127.0.0.1:%d" % free_port(), "--admin", "127.0.0.1:%d" % free_port())

    def test_one_bounded_run_shows_kill_freeze_and_return_and_ends_with_its_verdict(self):
        demo = self.demo("--once", *self.addresses())
        out, err = demo.popen.communicate(timeout=90 * SLOW)
        demo.popen.stderr.close()
        self.assertEqual(demo.popen.returncode, 0, out + err)
        for said in ("primary-1 is killed", "the standby serves", "both primaries come back", "both primaries freeze",
                     "the primaries serve again", "requests answered, 0 failed", "10 of 10 are open again", "every phase went as announced"):
            self.assertIn(said, out)
        self.assertNotIn("NOT SO", out)
        seconds = re.findall(r"(\d+) answers, (\d+) failed, p95 +[\d.]+ ms \| (\d+) sockets held.*\| by (.*)", out)
        self.assertGreaterEqual(len(seconds), 25)
        self.assertEqual({failed for _, failed, _, _ in seconds}, {"0"})
        self.assertTrue(any(by.startswith("standby") for _, _, _, by in seconds))
        self.assertIn("error failover pool=app", err)   # why it moved

    def test_a_busy_or_bad_address_is_named_with_the_remedy(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            busy = "127.0.0.1:%d" % taken.getsockname()[1]
            for args, code, said in ((("--listen", busy, "--admin", "127.0.0.1:%d" % free_port()), 1, "another process listens there"),
                                     (("--listen", "127.0.0.1:%d" % free_port(), "--admin", busy), 1, "choose another port"),
                                     (("--listen", "localhost:0"), 2, "write it as 127.0.0.1:8080"),
                                     (("--listen", "127.0.0.1:%d" % free_port(), "--admin", "bogus"), 2, "'bogus' has no port")):
                demo = self.demo("--once", *args)
                out, err = demo.popen.communicate(timeout=20 * SLOW)
                demo.popen.stderr.close()
                self.assertEqual(demo.popen.returncode, code, err)
                self.assertIn(said, err)
                self.assertEqual(out, "")

    def test_ctrl_c_ends_it_at_once_and_well(self):
        demo = self.demo(*self.addresses())
        self.assertIn("two primaries and a standby serve", demo.popen.stdout.readline())
        self.assertIn("sockets held", demo.popen.stdout.readline())
        demo.signal(signal.SIGINT)
        demo.popen.communicate(timeout=10 * SLOW)
        demo.popen.stderr.close()
        self.assertEqual(demo.popen.returncode, 0)


if __name__ == "__main__":
    unittest.main()
