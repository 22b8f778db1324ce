"""The command line as a newcomer meets it: broken files, exit codes, starter files, a proxy without a file, ordinary users."""
import json
import os
import pwd
import signal
import socket
import subprocess
import unittest

from harness import BINARY, SLOW, HERE, Story, certificate, free_port, wait_until

GOOD = '[listen.web]\naddress = "127.0.0.1:8080"\n[pool.app]\nprimary = ["127.0.0.1:1"]\n'
BROKEN = """[server]
wrokers = 3
shutdown_grace = 30
[listen.web]
address = "8080"
[pool.app]
primary = ["10.0.0.11:3000", { address = "10.0.0.12:3000", wieght = 2 }]
balance = "leastrequest"
[[route]]
match = { path = "devices" }
pool = "ap"
"""


class CliTest(Story):
    def run_cli(self, *args, env=None, **options):
        return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=30 * SLOW,
                              env={**os.environ, **(env or {})}, cwd=self.folder, **options)

    def file(self, text, name="understudy.toml"):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    # -- check

    def test_check_reports_every_error_with_its_place_a_caret_and_the_likely_meaning(self):
        self.file(BROKEN)
        result = self.run_cli("check", "understudy.toml")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "")
        self.assertIn("understudy.toml:2:1: error: unknown key 'wrokers' in [server]\n"
                      "    2 | wrokers = 3\n"
                      "      | ^^^^^^^ did you mean 'workers'?\n", result.stderr)
        places = [line.split(": error: ")[0] for line in result.stderr.splitlines() if ": error: " in line]
        self.assertEqual(places, ["understudy.toml:" + at for at in ("2:1", "3:18", "5:11", "7:60", "8:11", "10:18", "11:8")])
        for hint in ("write \"30s\" or \"30ms\"", "write \":8080\"", "did you mean 'weight'?", "did you mean \"least_request\"?",
                     "write \"/devices\"", "did you mean 'app'? (defined at line 6)"):
            self.assertIn(hint, result.stderr)
        self.assertIn("7 errors", result.stderr)

    def test_check_as_json_is_one_array_also_when_there_is_no_file(self):
        self.file(BROKEN)
        result = self.run_cli("check", "--json", "understudy.toml")
        self.assertEqual((result.returncode, result.stderr), (1, ""))
        findings = json.loads(result.stdout)
        self.assertEqual(len(findings), 7)
        self.assertEqual({k: findings[0][k] for k in ("severity", "line", "column", "width", "hint")},
                         {"severity": "error", "line": 2, "column": 1, "width": 7, "hint": "did you mean 'workers'?"})
        for path, why in (("nowhere.toml", "No such file"), (self.folder, "folder")):
            result = self.run_cli("check", "--json", path)
            self.assertEqual((result.returncode, result.stderr), (1, ""))
            self.assertIn(why, json.loads(result.stdout)[0]["message"])
            plain = self.run_cli("check", path)
            self.assertEqual(plain.returncode, 1)
            self.assertIn(why, plain.stderr)
            self.assertIn("understudy init", plain.stderr)
        self.file(GOOD)
        result = self.run_cli("check", "--json", "understudy.toml")
        self.assertEqual((result.returncode, json.loads(result.stdout)), (0, []))

    def test_check_fails_on_warnings_only_when_strict(self):
        self.file(GOOD + '[check]\ninterval = "1s"\ntimeout = "2s"\n')
        lenient = self.run_cli("check", "understudy.toml")
        self.assertEqual(lenient.returncode, 0)
        self.assertIn("good: 1 listener, 1 route, 1 pool, 1 endpoint, 1 warning", lenient.stdout)
        strict = self.run_cli("check", "--strict", "understudy.toml")
        self.assertEqual(strict.returncode, 1)
        self.assertIn("--strict", strict.stderr)

    def test_check_touches_no_network(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns, socket.socket() as taken:
            dns.bind(("127.0.0.1", 0))
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.file('[dns]\nservers = ["127.0.0.1:%d"]\n[listen.web]\naddress = "127.0.0.1:%d"\n'
                      '[pool.app]\nprimary = ["app.example.org:3000", "127.0.0.1:%d"]\n'
                      % (dns.getsockname()[1], taken.getsockname()[1], taken.getsockname()[1]))
            result = self.run_cli("check", "understudy.toml")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            for s in (dns, taken):
                s.setblocking(False)
            with self.assertRaises(BlockingIOError):
                dns.recv(512)
            with self.assertRaises(BlockingIOError):
                taken.accept()

    def test_check_reads_certificates_and_warns_of_keys_that_everybody_may_read(self):
        cert, key = certificate(self.folder, "site.example")
        text = GOOD.replace('[pool.app]', 'tls = [{ certificate = "%s", key = "%s" }]\n[pool.app]' % (cert, key))
        self.file(text)
        os.chmod(key, 0o600)
        self.assertEqual(self.run_cli("check", "--strict", "understudy.toml").returncode, 0)
        os.chmod(key, 0o644)
        result = self.run_cli("check", "--strict", "understudy.toml")
        self.assertEqual(result.returncode, 1)
        self.assertIn("every user of this machine can read the private key", result.stderr)
        with open(cert, "w") as f:
            f.write("not a certificate\n")
        result = self.run_cli("check", "understudy.toml")
        self.assertEqual(result.returncode, 1)
        self.assertIn("understudy.toml:3:", result.stderr)
        self.assertEqual(self.run_cli("check", "--no-files", "understudy.toml").returncode, 0)

    # -- showing and writing

    def test_config_show_says_where_each_value_comes_from_and_hides_secrets(self):
        self.file(GOOD + '[admin]\nlisten = "127.0.0.1:9900"\ntoken = "${ADMIN_TOKEN}"\n')
        result = self.run_cli("config", "show", "--defaults", "understudy.toml", env={"ADMIN_TOKEN": "canary-17"})
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = {line.split(" = ")[0].strip(): line for line in result.stdout.splitlines() if " = " in line}
        self.assertRegex(lines["address"], r'"127\.0\.0\.1:8080" +# understudy\.toml:2:1$')
        self.assertRegex(lines["shutdown_grace"], r'"30s" +# default$')
        self.assertRegex(lines["token"], r'"\*\*\*" +# understudy\.toml:7:1, from \$\{ADMIN_TOKEN\}|"\*\*\*" +# ')
        self.assertNotIn("canary-17", result.stdout + result.stderr)
        short = self.run_cli("config", "show", "-c", "understudy.toml", env={"ADMIN_TOKEN": "canary-17"})
        self.assertEqual(short.returncode, 0)
        self.assertNotIn("shutdown_grace", short.stdout)

    def test_init_writes_a_file_that_is_good_and_never_overwrites(self):
        self.assertEqual(self.run_cli("init").returncode, 0)
        self.assertEqual(self.run_cli("check", "--strict", "understudy.toml").returncode, 0)
        again = self.run_cli("init")
        self.assertEqual(again.returncode, 1)
        self.assertIn("not overwritten", again.stderr)

    def test_schema_is_json_and_the_committed_reference_is_fresh(self):
        schema = json.loads(self.run_cli("schema").stdout)
        self.assertIn("listen", schema["properties"])
        with open(os.path.join(HERE, "../../config/reference.md")) as f:
            self.assertEqual(self.run_cli("schema", "--reference").stdout, f.read())

    # -- exit codes

    def test_exit_codes_tell_usage_from_failure_from_absence(self):
        for words, code, said in (((), 2, "Subcommands"), (("--help",), 0, ""), (("chek",), 2, "did you mean 'check'?"),
                                  (("check", "--jsno"), 2, "did you mean '--json'?"), (("quick",), 2, "--primary"),
                                  (("drain", "a", "--for", "soon"), 2, "1m30s"), (("run", "-c", "none.toml"), 1, "No such file"),
                                  (("run", "-c", self.folder), 1, "folder"), (("version",), 0, ""), (("-t", "none.toml"), 1, "No such file"),
                                  (("status", "--admin", "unix:" + self.path("none.sock")), 3, "no daemon answers"),
                                  (("reload", "--admin", "127.0.0.1:%d" % free_port()), 3, "no daemon answers"),
                                  (("healthcheck", "--admin", "unix:" + self.path("none.sock")), 1, "no daemon answers")):
            result = self.run_cli(*words)
            self.assertEqual(result.returncode, code, (words, result.stdout, result.stderr))
            self.assertIn(said, result.stderr)

    # -- running

    def test_quick_needs_no_file(self):
        origin, standby = self.origin("p1"), self.origin("s1")
        port, admin = free_port(), free_port()
        proxy = self.start([BINARY, "quick", "--listen", "127.0.0.1:%d" % port, "--admin", "127.0.0.1:%d" % admin,
                            "--primary", origin.address, "--standby", standby.address], stderr=subprocess.DEVNULL)

        def serves():
            try:
                return self.request(port=port)[2] == b"hello from p1"
            except OSError:
                return False
        wait_until(serves, 20)

        def tells_so():
            status = self.run_cli("status", "--admin", "127.0.0.1:%d" % admin)
            self.assertEqual(status.returncode, 0, status.stderr)
            self.assertNotIn("[down]", status.stdout, "an endpoint that nobody has checked yet is not down")
            return "pool app serves from primary (1/1 available)" in status.stdout
        wait_until(tells_so, 20)
        refused = self.run_cli("quick", "--listen", "127.0.0.1:%d" % free_port(), "--admin", "127.0.0.1:%d" % admin,
                               "--primary", origin.address)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("choose another port", refused.stderr)
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.popen.wait(20 * SLOW), 0)

    def test_quick_says_what_is_wrong_with_its_addresses(self):
        result = self.run_cli("quick", "--listen", "8080", "--primary", "127.0.0.1", "--standby", "x:y")
        self.assertEqual(result.returncode, 1)
        for said in ("only a number", "'127.0.0.1' has no port", "'x:y' has a port that is not a number", "write it as host:port"):
            self.assertIn(said, result.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
    def test_an_ordinary_user_runs_the_five_lines_and_finds_his_process(self):
        nobody = pwd.getpwnam("nobody")
        runtime = self.path("runtime")
        os.mkdir(runtime)
        os.chmod(self.folder, 0o755)
        os.chown(runtime, nobody.pw_uid, nobody.pw_gid)
        self.file(GOOD.replace("8080", str(free_port())))

        def become():
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
        environment = {"XDG_RUNTIME_DIR": runtime, "UNDERSTUDY_ADMIN": ""}
        try:
            self.run_cli("version", preexec_fn=become)
        except PermissionError:
            self.skipTest("the binary lies where an ordinary user may not go")
        proxy = self.start([BINARY, "run", "-c", self.path("understudy.toml")], preexec_fn=become, stderr=subprocess.DEVNULL,
                           env={**os.environ, **environment})
        wait_until(lambda: os.path.exists(os.path.join(runtime, "understudy/admin.sock")), 20)
        status = self.run_cli("status", env=environment, preexec_fn=become)
        self.assertEqual(status.returncode, 0, status.stderr)
        self.assertIn("pool app", status.stdout)
        self.assertEqual(self.run_cli("stop", env=environment, preexec_fn=become).returncode, 0)
        self.assertEqual(proxy.popen.wait(20 * SLOW), 0)
        self.assertFalse(os.path.exists(os.path.join(runtime, "understudy/admin.sock")))

    @unittest.skipUnless(os.geteuid() == 0, "root is refused only to root")
    def test_root_is_told_how_to_be_somebody_else(self):
        self.file(GOOD + '[admin]\nlisten = "unix:%s"\n[server]\nstate_dir = "none"\n' % self.path("a.sock"))
        try:
            pwd.getpwnam("understudy")
            self.skipTest("there is a user 'understudy' to become")
        except KeyError:
            result = self.run_cli("run", "-c", "understudy.toml")
        self.assertEqual(result.returncode, 1)
        self.assertIn("--keep-root", result.stderr)


if __name__ == "__main__":
    unittest.main()
