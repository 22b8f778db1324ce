#include "proxy/observe/access_time.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>

namespace understudy::observe {
namespace {

struct Civil {
  unsigned year, month, day, hour, minute, second, millisecond;
};

Civil civil_of(std::int64_t unix_us) {
  constexpr std::int64_t kEndOf9999 = 253'402'300'799'999'999;
  const std::chrono::sys_time<std::chrono::microseconds> instant{
      std::chrono::microseconds(std::clamp<std::int64_t>(unix_us, 0, kEndOf9999))};
  const auto day = std::chrono::floor<std::chrono::days>(instant);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss time{std::chrono::floor<std::chrono::milliseconds>(instant - day)};
  return {static_cast<unsigned>(static_cast<int>(date.year())),
          static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day()),
          static_cast<unsigned>(time.hours().count()),
          static_cast<unsigned>(time.minutes().count()),
          static_cast<unsigned>(time.seconds().count()),
          static_cast<unsigned>(time.subseconds().count())};
}

void append_digits(std::string& out, unsigned value, unsigned width) {
  const std::size_t end = out.size() + width;
  out.append(width, '0');
  for (std::size_t at = end; width > 0; --width, value /= 10) out[--at] = static_cast<char>('0' + value % 10);
}

void append_clock(std::string& out, const Civil& at) {
  append_digits(out, at.hour, 2);
  out += ':';
  append_digits(out, at.minute, 2);
  out += ':';
  append_digits(out, at.second, 2);
}

}  // namespace

void append_rfc3339(std::string& out, std::int64_t unix_us) {
  const Civil at = civil_of(unix_us);
  append_digits(out, at.year, 4);
  out += '-';
  append_digits(out, at.month, 2);
  out += '-';
  append_digits(out, at.day, 2);
  out += 'T';
  append_clock(out, at);
  out += '.';
  append_digits(out, at.millisecond, 3);
  out += 'Z';
}

void append_clf_time(std::string& out, std::int64_t unix_us) {
  static constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const Civil at = civil_of(unix_us);
  append_digits(out, at.day, 2);
  out += '/';
  out += kMonths[at.month - 1];
  out += '/';
  append_digits(out, at.year, 4);
  out += ':';
  append_clock(out, at);
  out += " +0000";
}

}  // namespace understudy::observe
