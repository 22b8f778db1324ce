#include "health/slots.hpp"

namespace understudy::health {

EndpointId Slots::take() {
  std::uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  slots_[slot].alive = true;
  return {slot, ++slots_[slot].generation};
}

void Slots::release(EndpointId id, std::uint64_t version) {
  if (!alive(id)) return;
  slots_[id.slot].alive = false;
  released_.push_back({id.slot, version});
}

void Slots::acknowledged(std::uint64_t version) {
  while (!released_.empty() && released_.front().version <= version) {
    free_.push_back(released_.front().slot);
    released_.pop_front();
  }
}

bool Slots::alive(EndpointId id) const {
  return id.slot < slots_.size() && slots_[id.slot].alive && slots_[id.slot].generation == id.generation;
}

}  // namespace understudy::health
