// Opening a WebSocket: it waits for its turn, and tells the desk how it went.
#include <algorithm>
#include <utility>

#include "proxy/net/exchange_driver.hpp"

namespace understudy::net {

using exchange::End;
using exchange::EventKind;
using health::Cause;
using limit::OpeningDesk;

void Exchange::wait_to_open(TimePoint now) {
  stop_waiting();
  const PoolPlan& pool = plan_->plan().pools[pool_index_];
  perform(state_.on({EventKind::opening_waits, Cause::none, 0, false, End::none}, now), now);
  if (state_.phase() != exchange::Phase::waiting) return;  // for too long already
  opening_waited_ = true;
  if (worker_.openings().wait(*this, pool.openings, client_, opening_place_)) return note_queued(true);
  opening_refusal_ = observe::OpeningRefusal::queue_full;
  perform(state_.on({EventKind::opening_refused, Cause::none, 0, false, End::none}, now), now);
}

void Exchange::on_opening_turn(bool its_turn, TimePoint now) {
  if (its_turn) {
    opening_place_.called = true;
    perform(state_.on({EventKind::moved, Cause::none, 0, false, End::none}, now), now);
  } else {
    worker_.openings().leave(opening_place_);
    opening_refusal_ = observe::OpeningRefusal::displaced;
    perform(state_.on({EventKind::opening_refused, Cause::none, 0, false, End::none}, now), now);
  }
  requester_.wake();
}

// Counts it, and finds the time at which the client shall come back.
void Exchange::note_refused_opening(TimePoint now) {
  plan_->counters().pools[pool_index_]->openings_refused.add(opening_refusal_);
  const bool waited = opening_refusal_ == observe::OpeningRefusal::late;
  const auto after =
      plan_->plan().pools[pool_index_].openings->with([&](OpeningDesk& d) { return d.come_back(waited, now); });
  retry_after_ =
      static_cast<std::uint32_t>(std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(after).count()));
}

void Exchange::end_opening(OpeningEnd how, TimePoint now) {
  if (!std::exchange(attempt_.opening, false) || attempt_.endpoint == nullptr) return;
  const auto& desk = plan_->plan().pools[pool_index_].openings;
  const OpeningDesk::Endpoint endpoint = opening_key(attempt_.endpoint->id);
  desk->with([&](OpeningDesk& d) {
    switch (how) {
      case OpeningEnd::opened: d.opened(endpoint, now - attempt_.began, now); break;
      case OpeningEnd::failed: d.failed(endpoint, now); break;
      case OpeningEnd::abandoned: d.abandoned(endpoint); break;
    }
  });
  worker_.openings().serve(desk);
}

// What the endpoint was asked, for another one to be asked the same. Nothing where the route does not resume tunnels.
std::optional<Handshake> Exchange::handshake(std::string_view protocol) {
  if (!resumes()) return std::nullopt;
  const http::RequestHead& request = head();
  http::RequestRewrite told = rewrite();
  told.send_epoch = false;  // that of the day
  http::Out out{worker_.scratch().out.data(), worker_.scratch().out.size(), 0, false};
  if (!http::write_request(out, request, base(), told) || out.size > Handshake::kMost) {
    plan_->counters().pools[pool_index_]->not_parked.add(observe::NotParked::handshake_too_long);
    return std::nullopt;
  }
  Handshake kept;
  kept.head = out.view().substr(0, out.size - 2);
  kept.key = request.fields.value(http::Known::sec_websocket_key, base());
  kept.protocol = protocol;
  kept.id.assign(request_id_.data(), request_id_size_);
  kept.hash = hash_;
  kept.sticky = sticky_;
  kept.client = client_;
  return kept;
}

// An endpoint that opens others has no capacity left for this one: no reason to turn the client away, nor evidence against the
// endpoint, but to ask it for less.
bool Exchange::open_again(std::uint16_t status, TimePoint now) {
  if (status != 503 || !attempt_.opening || !state_.may_open_again(now)) return false;
  const OpeningDesk::Endpoint endpoint = opening_key(attempt_.endpoint->id);
  const bool opens =
      plan_->plan().pools[pool_index_].openings->with([&](const OpeningDesk& d) { return d.opens(endpoint, now); });
  if (!opens) return false;
  plan_->counters().pools[pool_index_]->openings_busy.add();
  end_opening(OpeningEnd::failed, now);
  perform(state_.on({EventKind::opening_busy, Cause::none, status, false, End::none}, now), now);
  return true;
}

// No failure of the endpoint: requests are not concerned.
void Exchange::leave_slow_opening(std::uint32_t slot, TimePoint now) {
  if (attempt_.awaiting == nullptr || attempt_.slot != slot) return;  // it does not wait there any more
  attempt_.leave_at.reset();
  if (!attempt_.opening || !state_.may_open_again(now)) return;
  if (std::exchange(opening_left_, true)) return;
  worker_.opening_left(attempt_.slot);
  end_opening(OpeningEnd::failed, now);
  perform(state_.on({EventKind::opening_busy, Cause::none, 0, false, End::none}, now), now);
  requester_.wake();
}

}  // namespace understudy::net
