// Small line charts as SVG, to stand in a Markdown page.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "health/incident/incident.hpp"

namespace understudy::incident {

struct Chart {
  std::string title;
  std::string unit;  // of the values: "%", "ms"
  std::vector<std::pair<Wall, double>> points;
  struct Mark {
    Wall at{};
    std::string name;
  };
  std::vector<Mark> marks;  // upright lines
};
// Empty when there are not two points. At most 600 points are drawn; of those that fall together the highest is.
std::string svg(const Chart& chart);

}  // namespace understudy::incident
