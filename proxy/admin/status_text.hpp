// Status and events as a person reads them in a narrow terminal (about 45 columns): one sentence, then pools,
// tiers and endpoints with their last check and since when. Takes the JSON of describe.hpp; absent keys are
// left out.
#pragma once

#include <boost/json/value.hpp>
#include <chrono>
#include <string>

namespace understudy::admin {

// `now` makes ages out of times; clock times are local.
std::string status_text(const boost::json::value& status, std::chrono::system_clock::time_point now);
// One pool as in status_text().
std::string pool_text(const boost::json::value& pool, std::chrono::system_clock::time_point now);
// One line per event, oldest first.
std::string events_text(const boost::json::value& events);
// Nothing in a text from elsewhere may steer the terminal: control bytes become '?'.
std::string printable(std::string_view text);

}  // namespace understudy::admin
