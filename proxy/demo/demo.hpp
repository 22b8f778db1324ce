// `understudy demo`: embedded origins behind a running proxy, a timetable of faults, and what clients see of them.
#pragma once

#include <cstdint>
#include <string>

namespace understudy::demo {

struct DemoOptions {
  std::string listen = "127.0.0.1:8080";
  std::string admin = "127.0.0.1:9900";
  bool once = false;  // bounded run with exit code instead of running until Ctrl-C
};
// Exit code: 0 when every phase went as announced, else 1.
int run(const DemoOptions& options);

}  // namespace understudy::demo
