#include "health/incident/chart.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "config/markup.hpp"
#include "health/incident/words.hpp"

namespace understudy::incident {
namespace {

using config::xml_escaped;

constexpr int kWidth = 720, kHeight = 180, kLeft = 56, kRight = 12, kTop = 28, kBottom = 24;
constexpr std::size_t kPoints = 600;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

// 1, 2 or 5 times a power of ten, not below what is to be shown.
double round_up(double value) {
  if (value <= 0) return 1;
  const double power = std::pow(10.0, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0, 10.0})
    if (value <= step * power) return step * power;
  return value;
}

}  // namespace

std::string svg(const Chart& chart) {
  if (chart.points.size() < 2) return {};
  const Wall first = chart.points.front().first, last = chart.points.back().first;
  const double span = std::max(1.0, static_cast<double>((last - first).count()));
  double highest = 0;
  for (const auto& [at, value] : chart.points) highest = std::max(highest, value);
  const double top = round_up(highest);
  const auto x = [&](Wall at) {
    const double part = std::clamp(static_cast<double>((at - first).count()) / span, 0.0, 1.0);
    return kLeft + part * (kWidth - kLeft - kRight);
  };
  const auto y = [&](double value) { return kHeight - kBottom - value / top * (kHeight - kTop - kBottom); };

  std::string line;
  const std::size_t step = (chart.points.size() + kPoints - 1) / kPoints;
  for (std::size_t i = 0; i < chart.points.size(); i += step) {
    const auto from = chart.points.begin() + static_cast<std::ptrdiff_t>(i);
    const auto to = chart.points.begin() + static_cast<std::ptrdiff_t>(std::min(i + step, chart.points.size()));
    const auto peak = std::max_element(from, to, [](const auto& a, const auto& b) { return a.second < b.second; });
    line += (line.empty() ? "" : " ") + number(x(peak->first)) + "," + number(y(peak->second));
  }
  const std::string axis = R"( stroke="#888" stroke-width="1")";
  const std::string small = R"( font-size="11" fill="#666")";
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + std::to_string(kWidth) + " " +
                    std::to_string(kHeight) + "\" width=\"" + std::to_string(kWidth) + "\" role=\"img\" aria-label=\"" +
                    xml_escaped(chart.title) + "\" font-family=\"sans-serif\">\n";
  out += "<text x=\"" + std::to_string(kLeft) + "\" y=\"16\" font-size=\"13\" fill=\"#333\">" +
         xml_escaped(chart.title) + "</text>\n";
  for (const double value : {0.0, top / 2, top}) {
    out += "<line x1=\"" + std::to_string(kLeft) + "\" x2=\"" + std::to_string(kWidth - kRight) + "\" y1=\"" +
           number(y(value)) + "\" y2=\"" + number(y(value)) + "\" stroke=\"#ddd\"/>\n<text x=\"" +
           std::to_string(kLeft - 6) + "\" y=\"" + number(y(value) + 4) + "\" text-anchor=\"end\"" + small + ">" +
           number(value) + " " + xml_escaped(chart.unit) + "</text>\n";
  }
  for (const Chart::Mark& mark : chart.marks) {
    if (mark.at < first || mark.at > last) continue;
    out += "<line x1=\"" + number(x(mark.at)) + "\" x2=\"" + number(x(mark.at)) + "\" y1=\"" + std::to_string(kTop) +
           "\" y2=\"" + std::to_string(kHeight - kBottom) + "\"" + axis + " stroke-dasharray=\"3 3\"/>\n<text x=\"" +
           number(x(mark.at) + 3) + "\" y=\"" + std::to_string(kTop + 9) + "\"" + small + ">" + xml_escaped(mark.name) +
           "</text>\n";
  }
  out += "<polyline fill=\"none\" stroke=\"#c0392b\" stroke-width=\"1.5\" points=\"" + line + "\"/>\n";
  out += "<text x=\"" + std::to_string(kLeft) + "\" y=\"" + std::to_string(kHeight - 6) + "\"" + small + ">" +
         clock(first) + "</text>\n<text x=\"" + std::to_string(kWidth - kRight) + "\" y=\"" +
         std::to_string(kHeight - 6) + "\" text-anchor=\"end\"" + small + ">" + clock(last) + " UTC</text>\n</svg>\n";
  return out;
}

}  // namespace understudy::incident
