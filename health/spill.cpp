#include "health/spill.hpp"

#include <algorithm>

namespace understudy::health {

std::vector<double> spread_load(std::span<const double> trusted, double overprovisioning) {
  std::vector<double> shares;
  shares.reserve(trusted.size());
  double left = 1;
  for (const double part : trusted) {
    const double carries = std::clamp(part * std::max(overprovisioning, 1.0), 0.0, 1.0);
    shares.push_back(std::min(carries, left));
    left -= shares.back();
  }
  if (shares.empty()) return shares;
  const double carried = 1 - left;
  if (carried <= 0) {
    shares.front() = 1;
  } else if (left > 0) {
    for (double& share : shares) share /= carried;
  }
  return shares;
}

}  // namespace understudy::health
