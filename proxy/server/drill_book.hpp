// What is remembered of live drills over restarts: one file of lines of JSON in state_dir, written anew as a whole (and so never half)
// by the file thread, read once. Control thread only; never waits after the start.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "health/drill/history.hpp"

namespace understudy::server {

// Lines that cannot be read are left out and counted.
std::string to_text(const health::DrillHistory& history);
health::DrillHistory drill_history_of(std::string_view text, std::size_t& damaged);

class DrillBook {
public:
  // False when it was not taken: it is tried again with the next change.
  using Later = std::function<bool(std::function<void()> work)>;

  // Reads `file`; "": nothing is kept beyond this process. `problem` tells what could not be read.
  // What the process before left under way counts as cut short, at `now`.
  void open(const std::string& file, Later later, health::Wall now, std::string& problem);
  // Of this process no more: another one has taken over.
  void let_go() { file_.clear(); }
  void begin(health::DrillRecord record);
  void add(health::DrillRecord record);
  void follow(const std::vector<config::DrillConfig>& drills, health::Wall now);
  const health::DrillHistory& history() const { return history_; }

private:
  void save();

  std::string file_;
  Later later_;
  health::DrillHistory history_;
};

}  // namespace understudy::server
