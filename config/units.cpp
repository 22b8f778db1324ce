#include "config/units.hpp"

#include <array>
#include <charconv>
#include <limits>

namespace understudy::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 5> duration_units{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

constexpr std::uint64_t ki = 1024;
constexpr std::array<Unit, 9> size_units{{{"TiB", ki* ki* ki* ki},
                                          {"TB", 1'000'000'000'000},
                                          {"GiB", ki* ki* ki},
                                          {"GB", 1'000'000'000},
                                          {"MiB", ki* ki},
                                          {"MB", 1'000'000},
                                          {"KiB", ki},
                                          {"kB", 1'000},
                                          {"B", 1}}};

constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::nullopt_t fail(UnitError* error, std::string problem, std::string remedy) {
  if (error != nullptr) *error = {std::move(problem), std::move(remedy)};
  return std::nullopt;
}

// Text that came from outside is quoted short, so that a message stays one line.
std::string clip(std::string_view text) { return std::string(text.substr(0, 16)); }

enum class Digits : std::uint8_t { none, ok, too_large };

// Takes the digits at the front of `text`.
Digits take_number(std::string_view& text, std::uint64_t& value) {
  std::size_t length = 0;
  while (length < text.size() && is_digit(text[length])) ++length;
  if (length == 0) return Digits::none;
  const auto result = std::from_chars(text.data(), text.data() + length, value);
  text.remove_prefix(length);
  return result.ec == std::errc() && value <= largest ? Digits::ok : Digits::too_large;
}

std::string_view take_letters(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && is_letter(text[length])) ++length;
  const std::string_view letters = text.substr(0, length);
  text.remove_prefix(length);
  return letters;
}

// What stands where a number or the end should, as words.
std::nullopt_t fail_shape(std::string_view text, std::string_view rest, std::string_view kind, std::string_view example,
                          UnitError* error) {
  if (text.empty()) return fail(error, "is empty", "write a " + std::string(kind) + " such as " + std::string(example));
  if (text.front() == '-') return fail(error, "can't be negative", "");
  if (!rest.empty() && (rest.front() == '.' || rest.front() == ',')) {
    return fail(error, "has a fraction", "write whole numbers with a smaller unit, such as " + std::string(example));
  }
  if (text.find(' ') != std::string_view::npos) {
    return fail(error, "has a space in it", "write it without spaces, such as " + std::string(example));
  }
  return fail(error, "is not a " + std::string(kind), "write it as " + std::string(example));
}

constexpr int most_decimals = 6;
// So many decimal digits survive a double (IEEE 754 binary64): what is read prints as it was written.
constexpr std::size_t most_digits = std::numeric_limits<double>::digits10;

// A plain decimal number, optionally with a fraction of up to six digits, at the front of `text`.
std::optional<double> take_decimal(std::string_view& text) {
  std::size_t length = 0;
  std::size_t dot = std::string_view::npos;
  while (length < text.size() && (is_digit(text[length]) || (text[length] == '.' && dot == std::string_view::npos))) {
    if (text[length] == '.') dot = length;
    ++length;
  }
  const std::size_t decimals = dot == std::string_view::npos ? 0 : length - dot - 1;
  const bool bare_dot = dot == 0 || (dot != std::string_view::npos && decimals == 0);
  const std::size_t digits = dot == std::string_view::npos ? length : length - 1;
  if (digits == 0 || digits > most_digits || bare_dot || decimals > most_decimals) return std::nullopt;
  double value = 0;
  std::from_chars(text.data(), text.data() + length, value);
  text.remove_prefix(length);
  return value;
}

// The shortest decimal with this suffix that reads back as exactly `value`; "" when none of six decimals
// does.
template <class Parse>
std::string shortest(double shown, double value, std::string_view suffix, const Parse& parse) {
  std::array<char, 400> buffer{};
  for (int precision = 0; precision <= most_decimals; ++precision) {
    const auto result =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), shown, std::chars_format::fixed, precision);
    if (result.ec != std::errc()) break;
    std::string text(buffer.data(), result.ptr);
    text += suffix;
    const auto back = parse(text);
    if (back && *back == value) return text;
  }
  return "";
}

}  // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text, UnitError* error) {
  std::string_view rest = text;
  std::uint64_t total = 0;
  std::size_t next_unit = 0;
  do {
    std::uint64_t number = 0;
    const Digits digits = take_number(rest, number);
    if (digits == Digits::none) return fail_shape(text, rest, "duration", "\"1m30s\"", error);
    if (digits == Digits::too_large) return fail(error, "is too large", "");
    const std::string_view name = take_letters(rest);
    if (name.empty()) {
      if (!rest.empty()) return fail_shape(text, rest, "duration", "\"1m30s\"", error);
      const std::string written = clip(text);
      if (total == 0 && number == 0)
        return fail(error, "needs a unit", "write \"0s\", or \"none\" where no limit is meant");
      return fail(error, "needs a unit", "write \"" + written + "s\" or \"" + written + "ms\"");
    }
    std::size_t unit = 0;
    while (unit < duration_units.size() && duration_units[unit].name != name) ++unit;
    if (unit == duration_units.size()) {
      return fail(error, "has an unknown unit '" + clip(name) + "'", "units are ms, s, m, h, d");
    }
    if (unit < next_unit) return fail(error, "has its units out of order", "write the largest unit first, each once");
    next_unit = unit + 1;
    std::uint64_t part = 0;
    if (__builtin_mul_overflow(number, duration_units[unit].factor, &part) ||
        __builtin_add_overflow(total, part, &total) || total > largest) {
      return fail(error, "is too large", "");
    }
  } while (!rest.empty());
  return std::chrono::milliseconds(static_cast<std::int64_t>(total));
}

std::string format_duration(std::chrono::milliseconds value) {
  auto rest = static_cast<std::uint64_t>(value.count());
  if (rest == 0) return "0s";
  std::string text;
  for (const Unit& unit : duration_units) {
    if (rest < unit.factor) continue;
    text += std::to_string(rest / unit.factor);
    text += unit.name;
    rest %= unit.factor;
  }
  return text;
}

std::optional<std::uint64_t> parse_size(std::string_view text, UnitError* error) {
  std::string_view rest = text;
  std::uint64_t number = 0;
  const Digits digits = take_number(rest, number);
  if (digits == Digits::none) return fail_shape(text, rest, "size", "\"16KiB\"", error);
  if (digits == Digits::too_large) return fail(error, "is too large", "");
  const std::string_view name = take_letters(rest);
  if (!rest.empty()) return fail_shape(text, rest, "size", "\"16KiB\"", error);
  if (name.empty()) {
    const std::string written = clip(text);
    return fail(error, "needs a unit", "write \"" + written + "B\" or \"" + written + "KiB\"");
  }
  for (const Unit& unit : size_units) {
    if (unit.name != name) continue;
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(number, unit.factor, &bytes) || bytes > largest) return fail(error, "is too large", "");
    return bytes;
  }
  for (const Unit& unit : size_units) {
    if (equal_ignoring_case(unit.name, name)) {
      return fail(error, "has an unknown unit '" + clip(name) + "'", "did you mean '" + std::string(unit.name) + "'?");
    }
  }
  return fail(error, "has an unknown unit '" + clip(name) + "'", "units are B, kB, KiB, MB, MiB, GB, GiB, TB, TiB");
}

std::string format_size(std::uint64_t bytes) {
  if (bytes == 0) return "0B";
  for (const Unit& unit : size_units) {
    if (bytes % unit.factor == 0) return std::to_string(bytes / unit.factor) + std::string(unit.name);
  }
  return std::to_string(bytes) + "B";
}

std::optional<std::uint64_t> parse_byte_rate(std::string_view text, UnitError* error) {
  if (text.size() < 2 || text.substr(text.size() - 2) != "/s") {
    return fail(error, "is not a rate of bytes", "write it as \"240B/s\"");
  }
  return parse_size(text.substr(0, text.size() - 2), error);
}

std::string format_byte_rate(std::uint64_t bytes_per_second) { return format_size(bytes_per_second) + "/s"; }

std::optional<double> parse_rate(std::string_view text, UnitError* error) {
  std::string_view rest = text;
  const auto number = take_decimal(rest);
  if (!number) return fail_shape(text, {}, "rate", "\"50/s\"", error);
  if (rest == "/s") return *number;
  if (rest == "/m") return *number / 60;
  if (rest == "/h") return *number / 3600;
  if (rest.empty()) return fail(error, "needs a unit", "write \"" + clip(text) + "/s\"");
  return fail(error, "is not a rate", "write it as \"50/s\", \"30/m\" or \"100/h\"");
}

std::string format_rate(double per_second) {
  const auto parse = [](std::string_view text) { return parse_rate(text, nullptr); };
  // What was written per minute or hour is often no decimal per second.
  for (const auto& [factor, suffix] : {std::pair{1.0, "/s"}, std::pair{60.0, "/m"}, std::pair{3600.0, "/h"}}) {
    std::string text = shortest(per_second * factor, per_second, suffix, parse);
    if (!text.empty()) return text;
  }
  return std::to_string(per_second) + "/s";
}

std::optional<double> parse_share(std::string_view text, UnitError* error) {
  std::string_view rest = text;
  const auto number = take_decimal(rest);
  if (!number) return fail_shape(text, {}, "share", "\"5%\"", error);
  if (rest.empty()) return fail(error, "needs a unit", "write \"" + clip(text) + "%\"");
  if (rest != "%") return fail(error, "is not a share", "write it as \"5%\"");
  // "99.9e-2" is rounded once; dividing 99.9 by 100 would round twice and not print as it was written.
  const std::string scaled = std::string(text.substr(0, text.size() - 1)) + "e-2";
  double share = 0;
  std::from_chars(scaled.data(), scaled.data() + scaled.size(), share);
  return share;
}

std::string format_share(double share) {
  const std::string text =
      shortest(share * 100, share, "%", [](std::string_view written) { return parse_share(written, nullptr); });
  return text.empty() ? std::to_string(share * 100) + "%" : text;
}

}  // namespace understudy::config
