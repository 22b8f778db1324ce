// Quantities as the operator writes them: durations "1m30s", sizes "16KiB", rates "50/s", shares "5%". Pure
// text to value and back; the printed form always parses to the same value. Words such as "none" are the
// caller's business.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace understudy::config {

// Why a text is no such quantity: "has an unknown unit 'x'" reads after the name of the key; the remedy
// stands alone.
struct UnitError {
  std::string problem;
  std::string remedy;
};

// "500ms", "2s", "1m30s", "1h", "7d": integers with falling units. Milliseconds; refuses fractions and
// overflow.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text, UnitError* error);
std::string format_duration(std::chrono::milliseconds value);

// "512B", "16KiB", "10MB" (kB MB GB TB are powers of 1000, KiB MiB GiB TiB of 1024). Bytes.
std::optional<std::uint64_t> parse_size(std::string_view text, UnitError* error);
std::string format_size(std::uint64_t bytes);

// "240B/s", "10KiB/s". Bytes per second.
std::optional<std::uint64_t> parse_byte_rate(std::string_view text, UnitError* error);
std::string format_byte_rate(std::uint64_t bytes_per_second);

// "50/s", "2.5/s", "30/m", "100/h". Per second.
std::optional<double> parse_rate(std::string_view text, UnitError* error);
std::string format_rate(double per_second);

// "5%", "0.5%". A share of one: "5%" is 0.05. Above 100 % is refused by the key's bounds, not here.
std::optional<double> parse_share(std::string_view text, UnitError* error);
std::string format_share(double share);

}  // namespace understudy::config
