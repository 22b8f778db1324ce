// The WebSockets of a drill: devices that stay connected, ask for numbered echoes, and come back when they are dropped. All
// calls on the thread of `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "proxy/drill/load.hpp"

namespace understudy::drill {

struct DeviceCounts {
  std::uint64_t opened = 0, failed_openings = 0, dropped = 0, left = 0;
  std::uint64_t refused_openings = 0;                    // of the failed ones: answered with a 5xx
  std::uint64_t sent = 0, echoed = 0, out_of_order = 0;  // or echoed twice
  std::uint64_t lost = 0;  // sent, and not echoed: before a later one was, or before the connection ended
  std::uint64_t cut = 0;   // dropped, and not by the Close that the route has for those who leave
  std::uint64_t open = 0;  // now
  std::map<std::string, std::uint64_t> reasons;  // of what was dropped: "closed 1012", "reset", "ended"
  std::vector<Micros> opening_times;
  std::vector<Clock::time_point> drop_times;  // in order
};
// The most of these times, which are in order, that lie within one second.
std::uint64_t busiest_second(const std::vector<Clock::time_point>& times);

class Device;

class Devices {
public:
  Devices(asio::io_context& io, LoadSettings settings);
  ~Devices();
  // They open one after the other within the first second.
  void start();
  // From here on whoever ends is not counted, and nobody comes back.
  void stop();
  const DeviceCounts& counts() const { return counts_; }

private:
  friend class Device;
  asio::io_context& io_;
  LoadSettings settings_;
  DeviceCounts counts_;
  std::mt19937_64 random_{7};
  bool stopped_ = false;
  std::vector<std::shared_ptr<Device>> devices_;
};

}  // namespace understudy::drill
