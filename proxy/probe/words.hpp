// Small texts of probe details, for people. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.hpp"

namespace understudy::probe {

// One line of at most `limit` bytes: control bytes become '?', a cut never splits a UTF-8 character and shows
// as "...".
std::string printable(std::string_view text, std::size_t limit);

// "1s", "1.5s", "50ms". Within 20 ms of `usual` it is that one: what the operator wrote, not how the clock
// fell.
std::string duration_text(std::chrono::nanoseconds value, std::chrono::milliseconds usual);

// "200-299, 301".
std::string ranges_text(const std::vector<config::StatusRange>& ranges);

}  // namespace understudy::probe
