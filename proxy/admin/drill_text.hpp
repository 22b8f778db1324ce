// Live drills for people: the history of those that were made, with how their times develop.
#pragma once

#include <boost/json/value.hpp>
#include <string>

namespace understudy::admin {

// A line a drill, the oldest first, and below them the drills of the configuration. `history`: what /api/v1/drills/history says.
std::string drill_history_text(const boost::json::value& history);

}  // namespace understudy::admin
