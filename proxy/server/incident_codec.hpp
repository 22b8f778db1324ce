// A record of an incident as one line of JSON with a checksum, and back.
//
//   {"v":1,"incident":12,"type":"entry", … ,"crc":"1c291ca3"}
//
// The checksum (CRC-32, eight hex digits) is of everything before `,"crc":`. A line that was not written whole does not pass.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "health/incident/incident.hpp"

namespace understudy::server {

// Longer ones are not ours.
inline constexpr std::size_t kLongestRecord = 256 * 1024;

std::string to_line(const incident::Record& record);  // newline included
// Of a line without its newline. Empty, with a few words in `why`, where it is not what to_line() writes.
std::optional<incident::Record> from_line(std::string_view line, std::string& why);

}  // namespace understudy::server
