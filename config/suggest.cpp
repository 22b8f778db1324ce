#include "config/suggest.hpp"

#include <algorithm>

namespace understudy::config {

unsigned edit_distance(std::string_view a, std::string_view b, unsigned limit) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > limit) return limit + 1;
  std::vector<unsigned> before(a.size() + 1);  // row i - 2
  std::vector<unsigned> above(a.size() + 1);   // row i - 1
  std::vector<unsigned> row(a.size() + 1);
  for (std::size_t j = 0; j <= a.size(); ++j) above[j] = static_cast<unsigned>(j);
  for (std::size_t i = 1; i <= b.size(); ++i) {
    row[0] = static_cast<unsigned>(i);
    unsigned best = row[0];
    for (std::size_t j = 1; j <= a.size(); ++j) {
      const unsigned cost = a[j - 1] == b[i - 1] ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + cost});
      if (i > 1 && j > 1 && a[j - 1] == b[i - 2] && a[j - 2] == b[i - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
      best = std::min(best, row[j]);
    }
    if (best > limit) return limit + 1;
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[a.size()];
}

std::optional<std::string> nearest(std::string_view typed, const std::vector<std::string_view>& words) {
  const unsigned limit = typed.size() <= 4 ? 1 : 2;
  unsigned best = limit + 1;
  std::string_view found;
  for (const std::string_view word : words) {
    const unsigned distance = edit_distance(typed, word, limit);
    if (distance < best) {
      best = distance;
      found = word;
    }
  }
  if (best > limit && typed.size() >= 4) {
    for (const std::string_view word : words) {
      const bool extends = word.size() > typed.size() ? word.substr(0, typed.size()) == typed
                                                      : word.size() >= 4 && typed.substr(0, word.size()) == word;
      if (extends && (found.empty() || word.size() < found.size())) found = word;
    }
  }
  if (found.empty()) return std::nullopt;
  return std::string(found);
}

}  // namespace understudy::config
