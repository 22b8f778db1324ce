#include "proxy/server/copies_under_way.hpp"

namespace understudy::server {

std::shared_ptr<const void> CopiesUnderWay::begin(health::EndpointId endpoint) {
  if (running_->all >= most) {
    drop(Dropped::all);
    return nullptr;
  }
  const auto found = running_->of_endpoint.find(endpoint);
  if (found != running_->of_endpoint.end() && found->second >= most_of_endpoint) {
    drop(Dropped::endpoint);
    return nullptr;
  }
  ++running_->all;
  ++running_->of_endpoint[endpoint];
  const auto ended = [running = running_, endpoint](const void*) {
    --running->all;
    const auto of = running->of_endpoint.find(endpoint);
    if (--of->second == 0) running->of_endpoint.erase(of);
  };
  return {running_.get(), ended};
}

}  // namespace understudy::server
