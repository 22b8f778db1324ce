// Slow work off the control thread, one piece after another: reading files that may lie on a disk which does not answer. Probes,
// decisions and the admin API go on meanwhile.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <memory>

namespace understudy::server {

class Background {
public:
  // `io` runs the `done` callbacks and outlives this object.
  explicit Background(boost::asio::io_context& io);
  // Work that is still held by the disk is left behind after a second; its `done` never comes. So `work` must own what it uses.
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // Pieces whose `done` has not begun.
  std::size_t pending() const;
  // `work` on the thread of this object (started on first use), then `done` on the control thread. `work` does not throw. Callers
  // bound what they hand in by pending(). Throws std::system_error when no thread can be started.
  void run(std::function<void()> work, std::function<void()> done);

private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace understudy::server
