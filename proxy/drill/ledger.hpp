// What was carried out, by the ids of the requests, as the applications saw it. Belongs to the thread of the origins.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>

namespace understudy::drill {

inline constexpr std::string_view kIdField = "Drill-Id";          // of a request; probes have none
inline constexpr std::string_view kOriginField = "Drill-Origin";  // of an answer: the index of the origin

class Ledger {
public:
  void executed(std::uint64_t id) { ++times_[id]; }
  std::uint32_t times(std::uint64_t id) const {
    const auto found = times_.find(id);
    return found == times_.end() ? 0 : found->second;
  }
  const std::unordered_map<std::uint64_t, std::uint32_t>& all() const { return times_; }

private:
  std::unordered_map<std::uint64_t, std::uint32_t> times_;
};

}  // namespace understudy::drill
