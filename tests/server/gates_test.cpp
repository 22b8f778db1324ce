// Gates against origins and programs on this machine. A program is /bin/sh, which every machine has; each ends by itself.
#include "proxy/server/gates.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/probe/fake_dns.hpp"

namespace understudy::server {
namespace {

using namespace probe::test;
using testing::HasSubstr;
using testing::StartsWith;

constexpr milliseconds kPlenty{20'000};

class Gates : public ::testing::Test {
protected:
  // A gate's answer, which must come exactly once and name the run.
  health::GateResult ask(const config::GateConfig& gate, milliseconds bound = kPlenty) {
    std::vector<health::GateResult> results;
    runner.start(question(gate), [&](health::GateResult result) { results.push_back(std::move(result)); });
    EXPECT_TRUE(results.empty()) << "answered from inside start()";
    EXPECT_TRUE(run_until(
        io, [&] { return !results.empty(); }, bound));
    io.poll();
    EXPECT_EQ(results.size(), 1U);
    EXPECT_EQ(runner.running(), 0U);
    if (results.empty()) return {};
    EXPECT_EQ(results[0].pool, "app");
    EXPECT_EQ(results[0].gate, gate.name);
    EXPECT_EQ(results[0].run, last_run);
    return results[0];
  }
  health::RunGate question(const config::GateConfig& gate) {
    return {"app", gate, ++last_run, Clock::now() + gate.timeout};
  }
  static config::GateConfig url(std::string text, std::string expect = {}) {
    config::GateConfig gate;
    gate.kind = config::GateKind::url;
    gate.name = "ready";
    gate.url = std::move(text);
    gate.expect = std::move(expect);
    gate.timeout = kPlenty;
    return gate;
  }
  static config::GateConfig shell(const std::string& script, milliseconds timeout = kPlenty) {
    config::GateConfig gate;
    gate.kind = config::GateKind::command;
    gate.name = "data compared";
    gate.command = {"/bin/sh", "-c", script, "gate"};
    gate.timeout = timeout;
    return gate;
  }
  static std::string at(const std::string& host, const BasicOrigin<Tcp>& origin, const std::string& path) {
    return "http://" + host + ":" + std::to_string(origin.endpoint().port()) + path;
  }
  bool children_are_gone() {
    return run_until(io, [] {
      siginfo_t info{};
      return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
    });
  }

  asio::io_context io;
  FakeDns dns{io};
  probe::Resolver resolver{io, dns.settings()};
  GateRunner runner{io, resolver};
  std::uint64_t last_run = 0;
};

// ---- URLs

TEST_F(Gates, AUrlPassesWith2xxAndTheExpectedText) {
  Origin origin(io, answer("HTTP/1.1 204 No Content\r\n\r\n"));
  const auto any = ask(url(at("127.0.0.1", origin, "/ready?deep=1")));
  EXPECT_TRUE(any.passed) << any.detail;
  EXPECT_THAT(any.detail, HasSubstr("answered 204"));
  EXPECT_THAT(origin.peers.at(0)->request, StartsWith("GET /ready?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:"));

  Origin talking(io, answer("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nstate: READY\n"));
  EXPECT_TRUE(ask(url(at("127.0.0.1", talking, "/"), "READY")).passed);
  const auto other = ask(url(at("127.0.0.1", talking, "/"), "DONE"));
  EXPECT_FALSE(other.passed);
  EXPECT_THAT(other.detail, HasSubstr("'DONE' is not in its body"));
}

TEST_F(Gates, AUrlDoesNotPassWithAnotherStatusOrNoAnswer) {
  Origin busy(io, answer("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nOK"));
  const auto refused = ask(url(at("127.0.0.1", busy, "/"), "OK"));
  EXPECT_FALSE(refused.passed);
  EXPECT_THAT(refused.detail, HasSubstr("answered 503, expected 200-299"));

  Origin moved(io, answer("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"));
  EXPECT_FALSE(ask(url(at("127.0.0.1", moved, "/"))).passed) << "redirects are not followed";

  const RefusingPort nobody(io);
  const auto closed = ask(url("http://" + nobody.address().to_string() + "/"));
  EXPECT_FALSE(closed.passed);
  EXPECT_THAT(closed.detail, HasSubstr("refused the connection"));

  Origin silent(io, nullptr);
  auto slow = url(at("127.0.0.1", silent, "/"));
  slow.timeout = milliseconds(50);
  const auto late = ask(slow);
  EXPECT_FALSE(late.passed);
  EXPECT_FALSE(late.detail.empty());
}

TEST_F(Gates, AHostMayBeAName) {
  BasicOrigin<Tcp> origin(io, {asio::ip::make_address_v4("127.0.0.2"), 0},
                          answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  // Nobody listens at the first address.
  dns.names["ready.test"] = {.v4 = {v4(127, 0, 0, 1), v4(127, 0, 0, 2)}};
  const auto found = ask(url(at("ready.test", origin, "/x")));
  EXPECT_TRUE(found.passed) << found.detail;
  EXPECT_THAT(origin.peers.at(0)->request, HasSubstr("\r\nHost: ready.test:"));

  const RefusingPort nobody(io);
  const auto closed = ask(url("http://ready.test:" + std::to_string(nobody.address().port) + "/"));
  EXPECT_FALSE(closed.passed);
  EXPECT_THAT(closed.detail, HasSubstr("127.0.0.2")) << "both were tried";

  dns.names["gone.test"] = {.code = 3};
  const auto unknown = ask(url(at("gone.test", origin, "/")));
  EXPECT_FALSE(unknown.passed);
  EXPECT_THAT(unknown.detail, StartsWith("cannot resolve 'gone.test': "));

  dns.names["mute.test"] = {.silent = true};
  auto mute = url(at("mute.test", origin, "/"));
  mute.timeout = milliseconds(50);
  EXPECT_EQ(ask(mute).detail, "no address of 'mute.test' in time");
}

TEST_F(Gates, WhatConfigurationWouldRefuseDoesNotPass) {
  EXPECT_THAT(ask(url("https://127.0.0.1/")).detail, StartsWith("the URL is an https URL"));
  EXPECT_FALSE(ask(url("")).passed);
  config::GateConfig nothing;
  nothing.kind = config::GateKind::command;
  EXPECT_EQ(ask(nothing).detail, "no program is configured");
  config::GateConfig approval;
  approval.name = "data compared";
  const auto asked = ask(approval);
  EXPECT_FALSE(asked.passed);
  EXPECT_EQ(asked.detail, "waits for an operator's approval");
}

// ---- programs

TEST_F(Gates, AProgramPassesWhenItEndsWith0AndItsLastLineIsTold) {
  const auto well = ask(shell("echo comparing; echo '0 rows differ'; echo"));
  EXPECT_TRUE(well.passed);
  EXPECT_EQ(well.detail, "exit code 0: 0 rows differ");
  const auto ill = ask(shell("echo fine; echo '3 rows differ' >&2; exit 3"));
  EXPECT_FALSE(ill.passed);
  EXPECT_EQ(ill.detail, "exit code 3: 3 rows differ");
  EXPECT_EQ(ask(shell("exit 1")).detail, "exit code 1");
  const auto shot = ask(shell("kill -TERM $$"));
  EXPECT_FALSE(shot.passed);
  EXPECT_THAT(shot.detail, StartsWith("ended by signal 15 ("));
  EXPECT_TRUE(children_are_gone());
}

TEST_F(Gates, AProgramThatCannotBeRunSaysWhy) {
  auto gate = shell("");
  gate.command = {"/nonexistent/compare-data"};
  const auto missing = ask(gate);
  EXPECT_FALSE(missing.passed);
  EXPECT_EQ(missing.detail, "cannot run /nonexistent/compare-data: No such file or directory");
  gate.command = {"/etc/passwd"};
  EXPECT_EQ(ask(gate).detail, "cannot run /etc/passwd: Permission denied");
  EXPECT_TRUE(children_are_gone());
}

TEST_F(Gates, ThereIsNoShell) {
  auto gate = shell("");
  gate.command = {"/bin/echo", "a  b", "$HOME;exit 1", "`id`", ""};
  EXPECT_EQ(ask(gate).detail, "exit code 0: a  b $HOME;exit 1 `id`");
}

TEST_F(Gates, AProgramGetsPathPoolAndGateAndNothingElse) {
  ::setenv("UNDERSTUDY_TOKEN", "secret", 1);
  const auto result =
      ask(shell("[ -z \"$UNDERSTUDY_TOKEN\" ] && [ -n \"$PATH\" ] && echo \"$UNDERSTUDY_POOL/$UNDERSTUDY_GATE\""));
  ::unsetenv("UNDERSTUDY_TOKEN");
  EXPECT_EQ(result.detail, "exit code 0: app/data compared");
}

TEST_F(Gates, AProgramInheritsNoDescriptorAndNoSignalState) {
  const int leaky = ::dup(STDOUT_FILENO);  // not close-on-exec, as a library might have it
  ASSERT_GT(leaky, STDERR_FILENO);
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  // Standard input is empty. Only 0, 1, 2 and the one that reads the folder are open. SIGPIPE (bit 13) is not ignored.
  const auto result =
      ask(shell("read x; ls /proc/self/fd | tr '\\n' ' '; grep SigIgn /proc/self/status | tr '\\n' ' '; "
                "grep SigBlk /proc/self/status"));
  ::signal(SIGPIPE, before);
  ::close(leaky);
  EXPECT_TRUE(result.passed);
  EXPECT_THAT(result.detail,
              testing::MatchesRegex("exit code 0: 0 1 2 3 SigIgn:.t0000000000000000 SigBlk:.t0000000000000000"));
}

TEST_F(Gates, AHangingProgramIsKilledWithAllItStarted) {
  // Both the program and its child hold the pipe; the child would outlive it.
  std::array<int, 2> life{};
  ASSERT_EQ(::pipe(life.data()), 0);
  const std::string name = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(life[1]);
  const auto result = ask(shell("exec 3>'" + name + "'; sleep 600 & sleep 600", milliseconds(300)));
  EXPECT_FALSE(result.passed);
  EXPECT_EQ(result.detail, "killed after 300 ms");
  EXPECT_TRUE(children_are_gone());
  ::close(life[1]);
  char byte = 0;
  EXPECT_EQ(::read(life[0], &byte, 1), 0) << "nobody holds the pipe any more";
  ::close(life[0]);
}

// timeout(1) makes a group of its own, so that killing the script's group alone leaves it and what it runs.
TEST_F(Gates, AHangingProgramIsKilledWithWhatLeftItsGroup) {
  std::array<int, 2> life{};
  ASSERT_EQ(::pipe(life.data()), 0);
  const std::string name = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(life[1]);
  const auto result =
      ask(shell("exec 3>'" + name + "'; timeout 30 sleep 600 & setsid sleep 30; :", milliseconds(1000)));
  EXPECT_EQ(result.detail, "killed after 1 s");
  EXPECT_TRUE(children_are_gone());
  ::close(life[1]);
  char byte = 0;
  const auto began = Clock::now();
  EXPECT_EQ(::read(life[0], &byte, 1), 0) << "nobody holds the pipe any more";
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(15)) << "nobody waited for their own end";
  ::close(life[0]);
}

TEST_F(Gates, WhatAProgramLeavesRunningEndsWithIt) {
  std::array<int, 2> life{};
  ASSERT_EQ(::pipe(life.data()), 0);
  const std::string name = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(life[1]);
  const auto result = ask(shell("exec 3>'" + name + "'; sleep 600 & echo done"));
  EXPECT_EQ(result.detail, "exit code 0: done") << "it was not waited for";
  ::close(life[1]);
  char byte = 0;
  EXPECT_EQ(::read(life[0], &byte, 1), 0);
  ::close(life[0]);
}

TEST_F(Gates, OutputIsBoundedAndMadeSafe) {
  const auto flood = ask(shell("exec yes"));
  EXPECT_FALSE(flood.passed);
  EXPECT_EQ(flood.detail, "killed: it wrote more than 1 MiB");
  const auto rude = ask(shell("printf '\\033[31mred\\377\\n'"));
  EXPECT_EQ(rude.detail.find('\033'), std::string::npos);
  EXPECT_THAT(rude.detail, StartsWith("exit code 0: \\x1B[31mred\\xFF"));
  const auto wide = ask(shell("head -c 100000 /dev/zero | tr '\\0' x"));
  EXPECT_TRUE(wide.passed);
  EXPECT_LE(wide.detail.size(), 200U);
  EXPECT_TRUE(children_are_gone());
}

// ---- runs

TEST_F(Gates, ANewerRunEndsTheOlder) {
  std::vector<health::GateResult> results;
  const auto collect = [&](health::GateResult result) { results.push_back(std::move(result)); };
  runner.start(question(shell("sleep 600")), collect);
  runner.start(question(shell("exit 0")), collect);
  ASSERT_TRUE(run_until(io, [&] { return results.size() == 2; }));
  EXPECT_EQ(results[0].run, 1U);
  EXPECT_FALSE(results[0].passed);
  EXPECT_EQ(results[0].detail, "not finished when it was asked again");
  EXPECT_EQ(results[1].run, 2U);
  EXPECT_TRUE(results[1].passed);
  EXPECT_TRUE(children_are_gone());
}

TEST_F(Gates, GatesOfOtherNamesRunSideBySide) {
  std::vector<health::GateResult> results;
  const auto collect = [&](health::GateResult result) { results.push_back(std::move(result)); };
  Origin origin(io, answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  auto other = shell("exit 4");
  other.name = "other";
  runner.start(question(shell("exit 0")), collect);
  runner.start(question(other), collect);
  runner.start(question(url(at("127.0.0.1", origin, "/"))), collect);
  EXPECT_EQ(runner.running(), 3U);
  ASSERT_TRUE(run_until(io, [&] { return results.size() == 3; }));
  for (const auto& result : results) EXPECT_EQ(result.passed, result.gate != "other") << result.gate;
}

TEST_F(Gates, NothingIsToldAfterTheEndAndNothingIsLeft) {
  Origin silent(io, nullptr);
  dns.names["mute.test"] = {.silent = true};
  int told = 0;
  auto hanging = url(at("127.0.0.1", silent, "/"));
  auto nameless = url(at("mute.test", silent, "/"));
  nameless.name = "nameless";
  {
    GateRunner ending(io, resolver);
    for (const auto& gate : {hanging, nameless, shell("sleep 600"), url("https://x/")})
      ending.start(question(gate), [&](const health::GateResult&) { ++told; });
    io.poll();
    told = 0;  // the bad URL may have been answered
    ending.start(question(shell("sleep 600")), [&](const health::GateResult&) { ++told; });
  }
  EXPECT_TRUE(children_are_gone());
  EXPECT_EQ(told, 0);
}

TEST_F(Gates, AnAnswerMayStopTheRunnerOrAskAgain) {
  auto own = std::make_unique<GateRunner>(io, resolver);
  int told = 0;
  own->start(question(shell("exit 1")), [&](const health::GateResult&) {
    own->start(question(shell("exit 0")), [&](const health::GateResult& again) {
      EXPECT_TRUE(again.passed);
      ++told;
      own.reset();
    });
  });
  EXPECT_TRUE(run_until(io, [&] { return told == 1; }));
  EXPECT_TRUE(children_are_gone());
}

}  // namespace
}  // namespace understudy::server
