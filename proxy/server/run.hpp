// Starts the process: reads the configuration, binds, drops privileges, runs workers, control and file thread until a signal.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "config/load.hpp"

namespace understudy::server {

struct RunOptions {
  std::string config_path;  // file to load and reload
  // Set for `quick` and `demo`: used instead of the file; there is then nothing to reload.
  std::function<config::LoadResult()> builtin;
  bool keep_root = false;                                 // --keep-root: run on as root
  bool quiet = false;                                     // no start-up lines on stderr
  std::function<void(const std::string& line)> on_ready;  // called once all listeners accept, with one line for people
};

// Exit code: 0 after a clean stop, 1 when it could not start (why was printed).
int run(const RunOptions& options);

// Environment and file access of this machine for config::load.
config::LoadContext system_context(bool with_files = true);

// The same for a client of a running process: where nothing of ours listens, the system's socket is meant.
config::LoadContext client_context();

// A configuration file's text; nullopt with the reason in `why`.
std::optional<std::string> read_text(const std::string& path, std::string& why);

}  // namespace understudy::server
