// Runs of the client. Each is bounded in time: `warm + seconds`, or 30 s for a counted one, and 2 s for what is still open.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/bench/load/job.hpp"
#include "tests/bench/load/loop.hpp"
#include "tests/bench/load/slot.hpp"

namespace bench {

struct Result {
  Tally tally;
  double requests = 0;  // in the window; large bodies count by their bytes
  double seconds = 0;
  std::uint64_t handshakes = 0;  // in the window, and how many of them were resumed: each connection's first cannot be
  std::uint64_t resumed = 0;
  std::uint64_t cpu_ns = 0;      // of the watched processes
  std::uint64_t load_ns = 0;     // of this process
  std::uint64_t machine_ns = 0;  // of everything
  std::uint64_t lost = 0;        // open loop: due, but not answered at the end
  std::string json() const;
};

// `connections` requests at any time, each connection asking again as soon as it is answered.
Result run_closed(Loop& loop, const Job& job);
// Requests at a constant rate whatever becomes of them; a latency counts from when its request was due.
Result run_open(Loop& loop, const Job& job);

// Connections that were used once and stay open until this goes.
class Held final : public Driver {
public:
  Held(Loop& loop, Job job);
  ~Held() override;
  // Opens them, at most 32 at a time, for at most 60 s.
  Result open();
  void on_answer(Slot& slot, bool good) override;

private:
  void next();
  Loop& loop_;
  Job job_;
  Tally tally_;
  std::unique_ptr<TlsClient> tls_;
  Context context_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::size_t in_flight_ = 0;
};

std::unique_ptr<Slot> make_slot(Context& context, unsigned number);

}  // namespace bench
