// Times of the week as the operator writes them. Which day and minute it is where the process runs is the caller's to know.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace understudy::config {

// What may not be, or is meant: "mon-fri 08:00-18:00", "sat,sun", "22:00-06:00". Days are those on which it begins.
struct WeekWindow {
  std::uint8_t days = 0x7f;  // bit 0: Monday
  std::uint16_t from = 0,
                to = 24 * 60;  // minutes of the day; `to` is not in it, and lies on the next day if not after `from`
  // weekday: 0 is Monday.
  bool covers(unsigned weekday, unsigned minute) const;
  bool operator==(const WeekWindow&) const = default;
};
// `problem` is one line, with a remedy behind "; ".
std::optional<WeekWindow> parse_week_window(std::string_view text, std::string* problem);

// When something is due, again and again: "tue 10:00", "mon-fri 03:30", "10:00" for each day.
struct WeekTime {
  std::uint8_t days = 0x7f;
  std::uint16_t minute = 0;
  // Minutes since it was due last, at that time of the week; zero in the minute itself.
  unsigned minutes_since(unsigned weekday, unsigned minute_of_day) const;
  bool operator==(const WeekTime&) const = default;
};
std::optional<WeekTime> parse_week_time(std::string_view text, std::string* problem);

}  // namespace understudy::config
