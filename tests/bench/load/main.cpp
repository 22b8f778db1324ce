// understudy_load: origin and load client in one process and thread, told what to do by lines on standard input.
//
//   run KEY=VALUE...    one run of the client (see job.hpp), answered with one line of JSON
//   hold KEY=VALUE...   opens connections and keeps them; answered when they are there
//   release             closes them
//   wide                a further port of the origin, on all of 127.0.0.0/8
//   stats               what the origin counted
//
// The first line out names the origin's port. It ends with its standard input.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/bench/load/loop.hpp"
#include "tests/bench/load/origin.hpp"
#include "tests/bench/load/run.hpp"

namespace {

using namespace bench;

class Commands final : public Handler {
public:
  Commands(Loop& loop, Origin& origin) : loop_(loop), origin_(origin) {
    ::fcntl(STDIN_FILENO, F_SETFL, ::fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    loop_.add(STDIN_FILENO, this, EPOLLIN);
  }
  bool over() const { return over_; }
  // Only notes that there is something: a run has a loop of its own and must not begin inside a batch of events.
  void on_event(std::uint32_t) override {
    char buffer[4096];
    const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (got == 0) over_ = true;
    if (got > 0) text_.append(buffer, static_cast<std::size_t>(got));
  }
  void serve() {
    for (std::size_t end = text_.find('\n'); end != std::string::npos; end = text_.find('\n')) {
      const std::string line = text_.substr(0, end);
      text_.erase(0, end + 1);
      std::string answer;
      try {
        answer = obey(line);
      } catch (const std::exception& failed) {
        answer = std::string("{\"failed\": \"") + failed.what() + "\"}";
      }
      std::cout << answer << std::endl;
    }
  }

private:
  std::string obey(const std::string& line) {
    std::istringstream in(line);
    std::string verb, word;
    std::vector<std::string> words;
    in >> verb;
    while (in >> word) words.push_back(word);
    if (verb == "run") {
      const Job job = Job::parse(words);
      return (job.rate > 0 ? run_open(loop_, job) : run_closed(loop_, job)).json();
    }
    if (verb == "hold") {
      held_.push_back(std::make_unique<Held>(loop_, Job::parse(words)));
      return held_.back()->open().json();
    }
    if (verb == "release") {
      held_.clear();
      return "{}";
    }
    if (verb == "wide") return port_line(origin_.listen_wide());
    if (verb == "stats") {
      return "{\"requests\": " + std::to_string(origin_.requests()) +
             ", \"refused\": " + std::to_string(origin_.refused()) + "}";
    }
    throw std::invalid_argument("unknown command");
  }

public:
  static std::string port_line(std::uint16_t port) { return "{\"port\": " + std::to_string(port) + "}"; }

private:
  Loop& loop_;
  Origin& origin_;
  std::string text_;
  bool over_ = false;
  std::vector<std::unique_ptr<Held>> held_;
};

}  // namespace

int main() {
  try {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    Loop loop;
    Origin origin(loop);
    Commands commands(loop, origin);
    std::cout << Commands::port_line(origin.port()) << std::endl;
    while (!commands.over()) {
      loop.turn(1000);
      commands.serve();
    }
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "understudy_load: %s\n", failed.what());
    return 1;
  }
  return 0;
}
