// How many copies of real requests (failover.mirror) are under way, to whom, and how many were left out and why. A standby that
// hangs holds few of them: the others are copied to as before.
//
// Control thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string_view>

#include "health/types.hpp"

namespace understudy::server {

class CopiesUnderWay {
public:
  static constexpr std::size_t most = 64;             // of all pools
  static constexpr std::size_t most_of_endpoint = 8;  // to one endpoint

  // Why a copy was not sent.
  enum class Dropped : std::uint8_t {
    queue,     // the workers handed in more than are fetched
    all,       // `most` are under way
    endpoint,  // `most_of_endpoint` are
    slow,      // the client's answer took so long that a copy could not be waited for
    count
  };
  static constexpr std::array<std::string_view, static_cast<std::size_t>(Dropped::count)> reasons = {
      "queue", "all", "endpoint", "slow"};

  // A copy to this endpoint begins; it has ended when the last of the returned pointers is gone, which may outlive this object.
  // Null when there are too many: that is counted.
  std::shared_ptr<const void> begin(health::EndpointId endpoint);
  void drop(Dropped why, std::uint64_t count = 1) { dropped_[static_cast<std::size_t>(why)] += count; }

  std::size_t count() const { return running_->all; }
  std::uint64_t dropped(std::size_t reason) const { return dropped_[reason]; }

private:
  struct Running {
    std::size_t all = 0;
    std::map<health::EndpointId, std::size_t> of_endpoint;
  };
  std::shared_ptr<Running> running_ = std::make_shared<Running>();
  std::array<std::uint64_t, static_cast<std::size_t>(Dropped::count)> dropped_{};
};

}  // namespace understudy::server
