// An incident for people: a draft of a post-mortem as Markdown, with the charts in it. What endpoints and people said is text and
// nothing else: it can make neither markup nor HTML.
#pragma once

#include <string>

#include "health/incident/incident.hpp"

namespace understudy::incident {

enum class Charts : std::uint8_t { with, without };
// `without` is for a terminal.
std::string markdown(const Incident& incident, Charts charts);

// The steps of it, in order: "detect", "decide", "shift", "verify", "return"; those that were not reached are left out.
struct Step {
  std::string_view name;
  std::string_view meaning;
  Wall at{};
};
std::vector<Step> steps(const Incident& incident);

}  // namespace understudy::incident
