#include "config/calendar.hpp"

#include <algorithm>
#include <array>

#include "config/text.hpp"

namespace understudy::config {
namespace {

constexpr unsigned day_minutes = 24 * 60;
constexpr std::array<std::string_view, 7> day_names = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

std::optional<unsigned> day_of(std::string_view text) {
  const auto found = std::find(day_names.begin(), day_names.end(), text);
  if (found == day_names.end()) return std::nullopt;
  return static_cast<unsigned>(found - day_names.begin());
}

// "mon", "mon-fri", "sat,sun"; a range may go over the end of the week.
std::optional<std::uint8_t> days_of(std::string_view text) {
  unsigned days = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::string_view part = text.substr(0, end);
    const std::size_t dash = part.find('-');
    const auto first = day_of(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : day_of(part.substr(dash + 1));
    if (!first || !last || end + 1 == text.size()) return std::nullopt;
    for (unsigned day = *first;; day = (day + 1) % 7) {
      days |= 1U << day;
      if (day == *last) break;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return days == 0 ? std::nullopt : std::optional(static_cast<std::uint8_t>(days));
}

// "08:00"; 24:00 where a day may end.
std::optional<std::uint16_t> minute_of(std::string_view text, bool may_be_end) {
  const auto digit = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  if (text.size() != 5 || text[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4)) return std::nullopt;
  const unsigned hour = static_cast<unsigned>(text[0] - '0') * 10 + static_cast<unsigned>(text[1] - '0');
  const unsigned minute = static_cast<unsigned>(text[3] - '0') * 10 + static_cast<unsigned>(text[4] - '0');
  const unsigned all = hour * 60 + minute;
  if (minute > 59 || all > day_minutes || (all == day_minutes && !may_be_end)) return std::nullopt;
  return static_cast<std::uint16_t>(all);
}

// Days and times, each of which may be missing.
struct Parts {
  std::string_view days, times;
};
Parts parts_of(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space != std::string_view::npos) return {text.substr(0, space), text.substr(space + 1)};
  return text.find(':') != std::string_view::npos ? Parts{{}, text} : Parts{text, {}};
}

}  // namespace

bool WeekWindow::covers(unsigned weekday, unsigned minute) const {
  const auto on = [this](unsigned day) { return ((days >> (day % 7)) & 1U) != 0; };
  if (from < to) return on(weekday) && minute >= from && minute < to;
  return (on(weekday) && minute >= from) || (on(weekday + 6) && minute < to);
}

std::optional<WeekWindow> parse_week_window(std::string_view text, std::string* problem) {
  const auto bad = [&](const char* what) {
    *problem =
        std::string(what) + "; write days, times or both, as in \"mon-fri 08:00-18:00\", \"sat,sun\", \"22:00-06:00\"";
    return std::nullopt;
  };
  const Parts parts = parts_of(text);
  WeekWindow window;
  if (parts.days.empty() && parts.times.empty()) return bad("is no time of the week");
  if (!parts.days.empty()) {
    const auto days = days_of(parts.days);
    if (!days) return bad("names no days of the week");
    window.days = *days;
  }
  if (parts.times.empty()) return parts.days.size() == text.size() ? std::optional(window) : bad("ends with a space");
  const std::size_t dash = parts.times.find('-');
  if (dash == std::string_view::npos) return bad("has one time, not a span of time");
  const auto from = minute_of(parts.times.substr(0, dash), false), to = minute_of(parts.times.substr(dash + 1), true);
  if (!from || !to) return bad("has a time that is none");
  if (*from == *to) return bad("begins when it ends");
  window.from = *from;
  window.to = *to;
  return window;
}

unsigned WeekTime::minutes_since(unsigned weekday, unsigned minute_of_day) const {
  for (unsigned back = 0; back <= 7; ++back) {
    const unsigned day = (weekday + 7 - back % 7) % 7;
    if (((days >> day) & 1U) == 0 || (back == 0 && minute_of_day < minute)) continue;
    return back * day_minutes + minute_of_day - minute;
  }
  return 7 * day_minutes;
}

std::optional<WeekTime> parse_week_time(std::string_view text, std::string* problem) {
  const auto bad = [&](const char* what) {
    *problem =
        std::string(what) + "; write days and a time, as in \"tue 10:00\", or a time for each day, as in \"03:30\"";
    return std::nullopt;
  };
  const Parts parts = parts_of(text);
  WeekTime time;
  if (!parts.days.empty()) {
    const auto days = days_of(parts.days);
    if (!days) return bad("names no days of the week");
    time.days = *days;
  }
  const auto minute = minute_of(parts.times, false);
  if (!minute) return bad(parts.times.empty() ? "has no time" : "has a time that is none");
  time.minute = *minute;
  return time;
}

}  // namespace understudy::config
