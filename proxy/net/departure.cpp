#include "proxy/net/departure.hpp"

#include <algorithm>
#include <cmath>

namespace understudy::net {

namespace {
constexpr std::size_t kFew = 8;  // fewer begin at once on every worker
}  // namespace

// ---- one -----------------------------------------------------------------------------------------------------------

Departure::~Departure() {
  if (armed()) reactor_.wheel().cancel(*this);
  waiting_.for_each([this](Tunnel& tunnel) { remove(tunnel); });
}

void Departure::add(Tunnel& tunnel) {
  tunnel.departure = this;
  waiting_.push_back(tunnel);
  ++left_;
  tunnel.counters().tunnels_leaving.add();
  if (pacer_ && !armed()) reactor_.wheel().set(*this, std::max(pacer_->next(), reactor_.now()));
}

void Departure::remove(Tunnel& tunnel) {
  tunnel.departure = nullptr;
  tunnel.DepartureHook::unlink();
  --left_;
}

void Departure::begin() {
  if (pacer_) return;
  pacer_.emplace(reactor_.now() + terms_.delay, terms_.window, left_, left_ < kFew ? 0 : phase_);
  reactor_.wheel().set(*this, pacer_->next());
}

void Departure::on_timer(TimePoint now) {
  for (std::size_t due = pacer_->due(now, left_); due > 0 && left_ > 0; --due) {
    const Ref<Tunnel> tunnel(waiting_.front());
    remove(*tunnel);
    tunnel->leave(terms_.why, pacer_->end());
  }
  if (left_ > 0) reactor_.wheel().set(*this, pacer_->next());
}

// ---- all -----------------------------------------------------------------------------------------------------------

void Departures::join(Tunnel& tunnel, observe::TunnelEnd why, limit::Pacer::Duration bound) {
  join(tunnel, {why, {}, std::min<limit::Pacer::Duration>(tunnel.policy()->websocket.close_over, bound)});
}

void Departures::join(Tunnel& tunnel, const Departure::Terms& terms) {
  if (tunnel.departure != nullptr) return;
  for (const auto& departure : all_) {
    if (departure->terms() != terms || !departure->open()) continue;
    departure->add(tunnel);
    return;
  }
  std::erase_if(all_, [](const auto& departure) { return departure->empty(); });
  // The golden ratio keeps the workers' first ones apart, however many there are.
  double whole = 0;
  const double phase = std::modf(worker_ * 0.6180339887, &whole);
  all_.push_back(std::make_unique<Departure>(reactor_, terms, phase));
  all_.back()->add(tunnel);
}

void Departures::release(Tunnel& tunnel) {
  if (tunnel.departure != nullptr) tunnel.departure->remove(tunnel);
}

void Departures::begin() {
  for (const auto& departure : all_) departure->begin();
}

}  // namespace understudy::net
