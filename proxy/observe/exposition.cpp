#include "proxy/observe/exposition.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <optional>

#include "proxy/observe/escape.hpp"

namespace understudy::observe {
namespace {

constexpr std::string_view kPrefix = "understudy_";
constexpr std::string_view kTotal = "_total";

// The bounds of exported histograms. Ours are finer and lie elsewhere; under `le` go only the buckets that
// end at or below it. So no bucket ever claims too much, a quantile computed from them is never too low, and
// what it may be too high by is less than one of our buckets (a quarter of the bound). The text is the
// canonical one of OpenMetrics, in both formats: else a scraper that changes format would see new series.
struct Bound {
  std::uint64_t us;
  std::string_view le;
};
constexpr std::array<Bound, 18> kBounds{{{100, "0.0001"},
                                         {250, "0.00025"},
                                         {500, "0.0005"},
                                         {1'000, "0.001"},
                                         {2'500, "0.0025"},
                                         {5'000, "0.005"},
                                         {10'000, "0.01"},
                                         {25'000, "0.025"},
                                         {50'000, "0.05"},
                                         {100'000, "0.1"},
                                         {250'000, "0.25"},
                                         {500'000, "0.5"},
                                         {1'000'000, "1.0"},
                                         {2'500'000, "2.5"},
                                         {5'000'000, "5.0"},
                                         {10'000'000, "10.0"},
                                         {30'000'000, "30.0"},
                                         {60'000'000, "60.0"}}};

void append_number(std::string& out, std::uint64_t value) {
  std::array<char, 20> digits{};
  const auto done = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), done.ptr);
}

void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    std::array<char, 32> digits{};
    const auto done = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    out.append(digits.data(), done.ptr);
  }
}

std::string_view word_of(Exposition::Type type) {
  switch (type) {
    case Exposition::Type::counter: return "counter";
    case Exposition::Type::gauge: return "gauge";
    case Exposition::Type::histogram: return "histogram";
  }
  return "unknown";
}

std::string_view unit_of(std::string_view family) {
  for (const std::string_view unit : {"seconds", "bytes"}) {
    if (family.size() > unit.size() && family.ends_with(unit) && family[family.size() - unit.size() - 1] == '_')
      return unit;
  }
  return {};
}

// ---- Accept ----

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

// Takes the part up to `separator` off the front of `rest`.
std::string_view next_part(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view part = trim(rest.substr(0, end));
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

struct MediaRange {
  std::string_view type;
  std::string_view version;
  double quality = 1;
};

// RFC 9110 §12.5.1. A quality that can't be read counts as 0: not wanted.
MediaRange media_range(std::string_view item) {
  MediaRange range;
  range.type = next_part(item, ';');
  while (!item.empty()) {
    std::string_view value = next_part(item, ';');
    const std::string_view name = next_part(value, '=');
    value = trim(value);
    if (equal_ignoring_case(name, "q")) {
      const auto read = std::from_chars(value.data(), value.data() + value.size(), range.quality);
      const bool good = read.ec == std::errc() && read.ptr == value.data() + value.size();
      range.quality = good ? std::clamp(range.quality, 0.0, 1.0) : 0.0;
    } else if (equal_ignoring_case(name, "version")) {
      range.version = value;
    }
  }
  return range;
}

void raise(std::optional<double>& best, double quality) { best = std::max(best.value_or(0), quality); }

}  // namespace

Exposition::Exposition(Format format) : format_(format) { out_.reserve(16 * 1024); }

void Exposition::family(std::string_view name, Type type, std::string_view help) {
  std::string base(kPrefix);
  base += name;
  // Both formats call the sample of a counter NAME_total; only OpenMetrics calls the family NAME.
  if (type == Type::counter && base.ends_with(kTotal)) base.resize(base.size() - kTotal.size());
  if (base == name_ && type == type_) return;
  name_ = std::move(base);
  type_ = type;
  std::string shown = name_;
  if (type == Type::counter && format_ == Format::prometheus) shown += kTotal;

  out_ += "# HELP ";
  out_ += shown;
  out_ += ' ';
  for (const char c : help) {
    if (c == '\n') {
      out_ += "\\n";
    } else if (c == '\\' || (c == '"' && format_ == Format::openmetrics)) {
      out_ += '\\';
      out_ += c;
    } else {
      out_ += c;
    }
  }
  out_ += "\n# TYPE ";
  out_ += shown;
  out_ += ' ';
  out_ += word_of(type);
  out_ += '\n';
  if (const std::string_view unit = unit_of(name_); format_ == Format::openmetrics && !unit.empty()) {
    out_ += "# UNIT ";
    out_ += name_;
    out_ += ' ';
    out_ += unit;
    out_ += '\n';
  }
}

void Exposition::begin_line(std::string_view suffix, std::initializer_list<Label> labels, std::string_view le) {
  out_ += name_;
  out_ += suffix;
  bool any = false;
  const auto label = [&](std::string_view key, std::string_view value) {
    out_ += any ? ',' : '{';
    any = true;
    out_ += key;
    out_ += "=\"";
    append_label_text(out_, value);
    out_ += '"';
  };
  for (const auto& [key, value] : labels) label(key, value);
  if (!le.empty()) label("le", le);
  if (any) out_ += '}';
  out_ += ' ';
}

void Exposition::sample(std::initializer_list<Label> labels, double value) {
  begin_line(type_ == Type::counter ? kTotal : std::string_view(), labels, {});
  append_number(out_, value);
  out_ += '\n';
}

void Exposition::sample(std::initializer_list<Label> labels, std::uint64_t value) {
  begin_line(type_ == Type::counter ? kTotal : std::string_view(), labels, {});
  append_number(out_, value);
  out_ += '\n';
}

void Exposition::histogram(std::initializer_list<Label> labels, const HistogramCounts& counts) {
  std::size_t bucket = 0;
  std::uint64_t below = 0;
  for (const Bound& bound : kBounds) {
    for (; bucket + 1 < kBuckets && bucket_bound(bucket) <= bound.us; ++bucket) below += counts.buckets[bucket];
    begin_line("_bucket", labels, bound.le);
    append_number(out_, below);
    out_ += '\n';
  }
  const std::uint64_t total = std::accumulate(counts.buckets.begin(), counts.buckets.end(), std::uint64_t{0});
  begin_line("_bucket", labels, "+Inf");
  append_number(out_, total);
  out_ += '\n';
  begin_line("_sum", labels, {});
  append_number(out_, counts.sum_seconds);
  out_ += '\n';
  begin_line("_count", labels, {});
  append_number(out_, total);
  out_ += '\n';
}

std::string Exposition::finish() {
  if (format_ == Format::openmetrics) out_ += "# EOF\n";
  name_.clear();
  return std::move(out_);
}

std::string_view Exposition::content_type(Format format) {
  return format == Format::openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                       : "text/plain; version=0.0.4; charset=utf-8";
}

Exposition::Format Exposition::negotiate(std::string_view accept) {
  std::optional<double> openmetrics, plain, any_text, anything;
  while (!accept.empty()) {
    const MediaRange range = media_range(next_part(accept, ','));
    if (equal_ignoring_case(range.type, "application/openmetrics-text")) {
      if (range.version.empty() || range.version == "1.0.0") raise(openmetrics, range.quality);
    } else if (equal_ignoring_case(range.type, "text/plain")) {
      if (range.version.empty() || range.version == "0.0.4") raise(plain, range.quality);
    } else if (range.type == "text/*") {
      raise(any_text, range.quality);
    } else if (range.type == "*/*") {
      raise(anything, range.quality);
    }
  }
  // The most specific range counts. Who does not name OpenMetrics gets the text that everything reads.
  const double text = plain ? *plain : any_text ? *any_text : anything.value_or(0);
  return openmetrics && *openmetrics > 0 && *openmetrics >= text ? Format::openmetrics : Format::prometheus;
}

}  // namespace understudy::observe
