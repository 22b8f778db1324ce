// Builds the text of /metrics: Prometheus 0.0.4 or OpenMetrics 1.0. Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/observe/histogram.hpp"

namespace understudy::observe {

using Label = std::pair<std::string_view, std::string_view>;

class Exposition {
public:
  enum class Format : std::uint8_t { prometheus, openmetrics };
  enum class Type : std::uint8_t { counter, gauge, histogram };
  explicit Exposition(Format format);

  // Starts a family; `name` without the understudy_ prefix, counters with their _total. Every sample that follows is of it.
  void family(std::string_view name, Type type, std::string_view help);
  void sample(std::initializer_list<Label> labels, double value);
  void sample(std::initializer_list<Label> labels, std::uint64_t value);
  void histogram(std::initializer_list<Label> labels, const HistogramCounts& counts);
  std::string finish();  // with "# EOF" for OpenMetrics
  static std::string_view content_type(Format format);
  static Format negotiate(std::string_view accept);

private:
  void begin_line(std::string_view suffix, std::initializer_list<Label> labels, std::string_view le);
  Format format_;
  std::string out_;
  std::string name_;
  Type type_ = Type::gauge;
};

}  // namespace understudy::observe
