// What came of drills, for people and machines.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "proxy/drill/run.hpp"

namespace understudy::drill {

// The verdict table of one drill, with what it was measured by. `with_log`: every fault and decision too.
std::string report_text(const Result& result, bool with_log);
std::string report_json(const std::vector<Result>& results);
// JUnit XML: a suite a drill, a case an expectation; an invalid drill is an error.
std::string report_junit(const std::vector<Result>& results);
// A table, a row a drill, with what was measured.
std::string report_markdown(const std::vector<Result>& results);
// What a line of a drill's log begins with: when it happened, since the beginning.
std::string stamp(std::chrono::steady_clock::duration since);
// Every request of one drill: id, method, when it was due, how it ended, how long it took, who answered.
std::string requests_csv(const Result& result);

}  // namespace understudy::drill
