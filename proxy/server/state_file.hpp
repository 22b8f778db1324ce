// What survives a restart, as JSON in state_dir, and the lock that makes one process the decider of that folder.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "health/core.hpp"

namespace understudy::server {

// `at`: when it was saved, by the wall clock; what is left of an operator's time goes on while nobody runs. Without one it stands.
std::string to_json(const health::SavedState& state, std::chrono::system_clock::time_point at = {});
// Empty optional and a sentence in `why` when the text is not ours.
std::optional<health::SavedState> from_json(const std::string& text, std::string& why,
                                            std::chrono::system_clock::time_point now = {});

// Holds state_dir for this process. With no folder (state_dir = "none") nothing is kept.
class StateDir {
public:
  StateDir() = default;
  ~StateDir();
  StateDir(const StateDir&) = delete;
  StateDir& operator=(const StateDir&) = delete;

  enum class Outcome { kept, not_kept, in_use };
  // Makes the folder if it can, takes the lock, removes what writers that were killed have left. not_kept: `why` says why state will not be kept, traffic can flow all the same.
  // `lock`: the lock that the process before this one held (binary upgrade), or -1; it is closed when it is another folder's.
  Outcome open(const std::string& path, std::string& why, int lock = -1);
  bool kept() const { return lock_ >= 0; }
  int lock() const { return lock_; }
  // The process after this one holds it.
  void let_go();
  std::string file() const { return path_ + "/state.json"; }
  std::string incidents() const { return path_ + "/incidents"; }
  std::string drills() const { return path_ + "/drills.jsonl"; }
  std::string lock_file() const { return path_ + "/lock"; }
  // Reads the stored state; a damaged file is set aside as state.json.damaged, one that cannot be read as
  // state.json.unreadable, and either is reported in `why`.
  std::optional<health::SavedState> read(std::string& why, std::chrono::system_clock::time_point now = {}) const;
  const std::string& path() const { return path_; }

private:
  int same_lock(int lock) const;

  std::string path_;
  int lock_ = -1;
};

}  // namespace understudy::server
