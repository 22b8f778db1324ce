"""What deploy/ and the README promise: packages once, examples and commands that the binary takes, a unit that systemd takes."""
import glob
import os
import re
import shutil
import subprocess
import unittest

from harness import BINARY, SLOW, HERE, Story

ROOT = os.path.abspath(os.path.join(HERE, "../.."))


def read(path):
    with open(os.path.join(ROOT, path)) as f:
        return f.read()


class DeployTest(Story):
    def check(self, path):
        return subprocess.run([BINARY, "check", "--no-files", "--strict", path], capture_output=True, text=True, timeout=30 * SLOW)

    def test_each_package_is_listed_once_in_a_known_section(self):
        section, packages, sections = None, [], []
        for line in read("deploy/packages.txt").splitlines():
            line = line.split("#")[0].strip()
            if line.startswith("["):
                section = line.strip("[]")
                sections.append(section)
            elif line:
                self.assertIsNotNone(section, line)
                packages.append(line)
        self.assertEqual(sorted(packages), sorted(set(packages)))
        self.assertEqual(sorted(sections), ["bench", "build", "fuzz", "lint", "test"])
        self.assertTrue([p for p in packages if p.startswith("libboost1.81-")] and "libboost-dev" not in packages)

    def test_every_example_is_good(self):
        examples = glob.glob(os.path.join(ROOT, "deploy/examples/*.toml"))
        self.assertGreaterEqual(len(examples), 2)
        for example in examples:
            result = self.check(example)
            self.assertEqual((result.returncode, result.stderr), (0, ""), example)

    def test_the_five_lines_of_the_readme_are_good_and_are_five(self):
        five = re.search(r"```toml\n(.*?)```", read("README.md"), re.S).group(1)
        self.assertEqual(len([line for line in five.splitlines() if line]), 5)
        with open(self.path("five.toml"), "w") as f:
            f.write(five)
        result = self.check(self.path("five.toml"))
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_the_commands_of_the_readme_exist(self):
        text = read("README.md")
        for command in re.findall(r"^\./(\S+)", text, re.M):
            self.assertTrue(os.access(os.path.join(ROOT, command), os.X_OK), command)
        verbs = set(re.findall(r"(?:build/release/|`)understudy (\w+)", text))
        self.assertLessEqual({"run", "check", "quick", "status", "failover", "schema"}, verbs)
        for verb in verbs:
            result = subprocess.run([BINARY, verb, "--help"], capture_output=True, text=True, timeout=30 * SLOW)
            self.assertEqual(result.returncode, 0, verb)

    def test_folders_and_files_that_the_documents_link_to_exist(self):
        for document in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "proxy/README.md"):
            for target in re.findall(r"\]\(([^)#:]+)\)", read(document)):
                self.assertTrue(os.path.exists(os.path.join(ROOT, os.path.dirname(document), target)), (document, target))

    def test_the_unit_says_what_operators_rely_on(self):
        unit = read("deploy/systemd/understudy.service")
        for line in ("Type=notify", "ExecReload=/usr/bin/understudy reload", "StateDirectory=understudy", "RuntimeDirectory=understudy",
                     "NoNewPrivileges=yes", "LimitCORE=0"):
            self.assertIn(line, unit.splitlines())
        grace = int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.M).group(1))
        self.assertGreater(grace, 30, "longer than the default of shutdown_grace")

    @unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze")
    def test_systemd_takes_the_unit(self):
        with open(self.path("understudy.service"), "w") as f:
            f.write(read("deploy/systemd/understudy.service").replace("/usr/bin/understudy", os.path.abspath(BINARY)))
        result = subprocess.run(["systemd-analyze", "verify", self.path("understudy.service")], capture_output=True, text=True, timeout=60)
        self.assertNotIn("Unknown", result.stderr)
        self.assertNotIn("Failed to parse", result.stderr)


if __name__ == "__main__":
    unittest.main()
