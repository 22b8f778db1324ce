// The two ways in which the access log writes an instant. Pure.
#pragma once

#include <cstdint>
#include <string>

namespace understudy::observe {

// Microseconds since 1970 UTC; clamped to the years 1970..9999.
void append_rfc3339(std::string& out, std::int64_t unix_us);   // 2026-11-22T02:14:05.123Z
void append_clf_time(std::string& out, std::int64_t unix_us);  // 22/Nov/2026:02:14:05 +0000

}  // namespace understudy::observe
