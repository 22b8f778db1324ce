// What one process hands to the next: a script plays the new program, the environment plays the old one.
#include "proxy/server/handover.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace understudy::server {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

std::size_t descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

class Handover : public testing::Test {
protected:
  Handover() {
    std::string name = (std::filesystem::temp_directory_path() / "understudy-handover-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder = name;
  }
  ~Handover() override {
    ::unsetenv("UNDERSTUDY_HANDOVER");
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }

  // A new program that tells, in a file, what it finds, and is ready then.
  std::string program(const std::string& last) const {
    const std::string path = folder + "/program";
    std::ofstream(path) << "#!/usr/bin/python3\n"
                           "import os, sys\n"
                           "passed = dict(l.rsplit('=', 1) for l in os.environ['UNDERSTUDY_HANDOVER'].splitlines())\n"
                           "with open(__file__ + '.out', 'w') as out:\n"
                           "    print('names', *sorted(passed), file=out)\n"
                           "    print('state', os.pread(int(passed['state']), 1 << 20, 0).decode(), file=out)\n"
                           "    print('environment', dict(os.environ), file=out)\n"
                           "    print('arguments', open('/proc/self/cmdline').read(), file=out)\n"
                           "    print('open', [os.readlink('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd')\n"
                           "                   if os.path.exists('/proc/self/fd/' + n)], file=out)\n"
                        << last << "\n";
    ::chmod(path.c_str(), 0700);
    return path;
  }
  std::string told() const {
    std::ifstream in(folder + "/program.out");
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }
  // Why it failed; "" when it was ready.
  std::string run(const std::string& path, const Successor::Estate& estate) {
    std::optional<std::string> result;
    pid_t pid = -1;
    {
      boost::asio::io_context io;
      Successor successor(io, path, estate, [&](const std::string& why) { result = why; });
      pid = successor.pid();
      io.run_for(30s);
    }
    if (result && result->empty()) ::waitpid(pid, nullptr, 0);  // ready ones belong to nobody
    return result.value_or("it did not tell");
  }

  std::string folder;
  static constexpr const char* kReady = "os.write(int(passed['line']), b'R')";
};

TEST_F(Handover, TheStateIsPassedInMemoryAndNothingOfItIsSeen) {
  Successor::Estate estate;
  estate.state = R"({"of the operator": "drained"})";
  const std::size_t before = descriptors();
  EXPECT_EQ(run(program(kReady), estate), "");
  EXPECT_EQ(descriptors(), before) << "the old process keeps nothing of it";
  EXPECT_THAT(told(), HasSubstr("state " + estate.state));
  const std::string seen = told().substr(told().find("environment"));
  EXPECT_THAT(seen, HasSubstr("arguments"));
  EXPECT_THAT(seen, Not(HasSubstr("drained")));
}

TEST_F(Handover, TicketKeysArePassedAndNothingOfThemIsSeen) {
  Successor::Estate estate;
  estate.tickets = {"k\neys" + std::string(1, '\0') + "of tickets", 90min};
  const std::string read =
      "raw = os.pread(int(passed['tickets']), 1 << 20, 0)\n"
      "open(__file__ + '.keys', 'wb').write(raw)\n";
  EXPECT_EQ(run(program(read + kReady), estate), "");
  const std::string seen = told().substr(told().find("environment"));
  EXPECT_THAT(seen, Not(HasSubstr("of tickets")));
  std::ifstream in(folder + "/program.keys", std::ios::binary);
  std::ostringstream raw;
  raw << in.rdbuf();
  std::string text = raw.str();
  const TicketSecret passed = TicketSecret::from_text(text);
  EXPECT_EQ(text, "") << "it was wiped";
  EXPECT_EQ(passed.keys(), estate.tickets.keys());
  EXPECT_EQ(passed.age(), 90min);
  EXPECT_FALSE(passed.keys().empty());
}

TEST_F(Handover, TicketKeysAreTakenFromMemoryAlone) {
  const int fd = in_memory(TicketSecret("secret", 7ms).text());
  ::setenv("UNDERSTUDY_HANDOVER", ("tickets=" + std::to_string(fd) + "\n").c_str(), 1);
  Inheritance inheritance;
  inheritance.read();
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1) << "it was closed";
  const TicketSecret passed = inheritance.take_tickets();
  EXPECT_EQ(passed.keys(), "secret");
  EXPECT_EQ(passed.age(), 7ms);
  EXPECT_EQ(inheritance.take_tickets().keys(), "");
  for (std::string damaged : {"", "12", "\nx", "-5\nx", "x\ny", "99999999999999999999999\nx"})
    EXPECT_EQ(TicketSecret::from_text(damaged).keys(), "") << damaged;
}

TEST_F(Handover, AProgramThatEndsIsTold) {
  const std::size_t before = descriptors();
  EXPECT_THAT(run(program("sys.exit(3)"), {}), HasSubstr("exit code 3"));
  EXPECT_THAT(run(folder + "/nothing", {}), HasSubstr("cannot be executed"));
  EXPECT_EQ(descriptors(), before);
}

TEST_F(Handover, WhatWasPassedIsTakenOnce) {
  const std::string text(200'000, 's');
  const int fd = in_memory(text);
  ::setenv("UNDERSTUDY_HANDOVER", ("state=" + std::to_string(fd) + "\n").c_str(), 1);
  Inheritance inheritance;
  inheritance.read();
  EXPECT_EQ(std::getenv("UNDERSTUDY_HANDOVER"), nullptr);
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1) << "it was closed";
  EXPECT_EQ(inheritance.take_state(), text);
  EXPECT_EQ(inheritance.take_state(), std::nullopt);
}

TEST_F(Handover, AnOldProcessThatPassesNoStateIsNoReasonToFail) {
  ::setenv("UNDERSTUDY_HANDOVER", "state=x\nstate=99999\nnonsense\n", 1);
  Inheritance inheritance;
  inheritance.read();
  EXPECT_EQ(inheritance.take_state(), std::nullopt);
  EXPECT_FALSE(inheritance.any());
  EXPECT_EQ(out_of_memory_file(-1), std::nullopt);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_EQ(out_of_memory_file(ends[0]), std::nullopt) << "which would wait";
  ::close(ends[1]);
}

}  // namespace
}  // namespace understudy::server
