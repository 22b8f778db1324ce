#include "proxy/limit/fair_share.hpp"

#include <cmath>

namespace understudy::limit {
namespace {

// Budgets keep what ten seconds bring. Who takes all that comes has taken five seconds of it at this half-life: half is left.
constexpr std::chrono::duration<double> kTakenHalfLife{3.5};
constexpr std::chrono::duration<double> kAskedHalfLife{15};  // as health::ClientWeighing
constexpr double kForgotten = 0.01;  // a hundredth of a request: nobody has asked for a minute and a half

}  // namespace

void FairShare::fade(TimePoint now) {
  if (!started_) at_ = now;
  started_ = true;
  if (now <= at_) return;
  const std::chrono::duration<double> passed = now - at_;
  at_ = now;
  const double taken = std::exp2(-passed / kTakenHalfLife), asked = std::exp2(-passed / kAskedHalfLife);
  for (Taker& taker : takers_) taker.taken *= taken;
  requests_ *= asked;
  busiest_requests_ *= asked;
  votes_ *= asked;
}

// A majority vote over what the workers hand in, each of which has voted already.
void FairShare::asked(const Asked& requests, TimePoint now) {
  if (requests.requests() == 0) return;
  fade(now);
  const double all = requests.requests(), own = requests.of_client();
  requests_ += all;
  if (requests.client() == busiest_) {
    busiest_requests_ += own;
    votes_ = std::max(0.0, votes_ + own - (all - own));
  } else if (votes_ >= own) {
    votes_ -= own;
  } else {
    busiest_ = requests.client();
    busiest_requests_ = own;
    votes_ = own - votes_;
  }
}

// Of who is not the busiest it is not known how much he asked: half of all at most, so the others did half of it at least.
double FairShare::others(std::uint64_t client) const {
  const double found = requests_ - (client == busiest_ ? busiest_requests_ : 0);
  return found > kForgotten ? std::ceil(found) : 0;
}

double FairShare::kept_from(std::uint64_t client, TimePoint now) {
  fade(now);
  for (const Taker& taker : takers_)
    if (taker.client == client) return std::min(taker.taken, others(client));
  return 0;
}

void FairShare::took(std::uint64_t client, TimePoint now) {
  fade(now);
  Taker* place = &takers_[0];
  for (Taker& taker : takers_) {
    if (taker.client == client) {
      taker.taken += 1;
      return;
    }
    if (taker.taken < place->taken) place = &taker;
  }
  *place = {client, 1};
}

}  // namespace understudy::limit
