// Incidents on disk: one file each in `state_dir/incidents`, only ever appended to, one record a line (incident_codec.hpp).
//
// Whenever the process or the machine stops, all lines but the one under way are there: the unfinished rest of a file is cut off
// before anything is appended. A full or hung disk holds nobody: lines wait in a bounded queue and are tried again each second;
// what does not fit is dropped and counted, and the incident goes on in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "health/incident/incident.hpp"

namespace understudy::server {

class IncidentStore {
public:
  struct Limits {
    std::size_t keep = 200;
    std::uint64_t max_bytes = 64 << 20;
  };
  // What lies on the disk. Closed incidents come without entries and samples.
  struct Loaded {
    std::vector<incident::Incident> open, closed;
    std::uint64_t next = 1;          // the first number that was never used
    std::vector<std::string> notes;  // what was damaged, for people
  };

  // Hands work to the thread that writes files; false when it takes no more. A newer hand-over may replace one that has not
  // begun: each does all that there is to do.
  using Later = std::function<bool(std::function<void()>)>;

  // Makes the folder if it is not there. Reads the disk and waits for it: for the start of the process only.
  static Loaded load(const std::string& folder);
  // One incident with all there is. Any thread; may wait for the disk.
  static std::optional<incident::Incident> read(const std::string& folder, std::uint64_t number, std::string& why);
  // Every file of it, for whoever has to change their owner.
  static std::vector<std::string> files(const std::string& folder);

  IncidentStore(const std::string& folder, Limits limits, Later later);
  ~IncidentStore();
  IncidentStore(const IncidentStore&) = delete;
  IncidentStore& operator=(const IncidentStore&) = delete;

  // Control thread; never waits.
  void append(const incident::Record& record);
  void set_limits(Limits limits);

  struct Report {
    std::string trouble;                                 // why lines cannot be written now; "" all is well
    std::vector<std::uint64_t> removed;                  // incidents that went to make room, since the last report
    std::uint64_t waiting = 0, dropped = 0, errors = 0;  // lines waiting; lines and failed writes since the start
  };
  // Control thread, each second: tries again what could not be written.
  Report tick();

  const std::string& folder() const { return folder_; }

private:
  struct Disk;
  void hand_over();

  std::string folder_;
  Later later_;
  std::shared_ptr<Disk> disk_;  // shared with work under way
};

}  // namespace understudy::server
