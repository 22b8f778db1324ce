// What drives the health core: time, probes, traffic samples, commits; and what it decides, carried out.
#include <algorithm>
#include <map>
#include <utility>

#include "proxy/server/process.hpp"

namespace understudy::server {

using health::Cause;

namespace {
constexpr std::chrono::milliseconds kBeat{50};
constexpr std::chrono::milliseconds kStarved{100};  // law 12: this much later than planned
constexpr std::chrono::milliseconds kSample{100};
constexpr std::chrono::seconds kArrivals{1};  // what was asked, and by whom
constexpr std::size_t kBusiest = 5;
constexpr int kPublishShare = 9;  // times as long as a publication took is waited until the next
constexpr std::chrono::milliseconds kPublishLate{100};
}  // namespace

// Every fact enters through here: if this thread has not run for longer than it should have, the core is told first.
TimePoint Process::note_time() {
  const TimePoint now = std::chrono::steady_clock::now();
  if (last_beat_ != TimePoint{} && now - last_beat_ > kBeat + kStarved) {
    ++starved_times_;
    const TimePoint from = last_beat_;
    last_beat_ = now;
    prober_->cancel_all();
    synthetic_prober_->cancel_all();
    release_probes("", false, now);
    drills_.desk().on_starved(now);
    core_.on_starved(from, now);
  }
  return now;
}

void Process::beat() {
  const TimePoint now = note_time();
  last_beat_ = now;
  sample_timer_.expires_at(now + kBeat);
  sample_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) beat();
  });
  static_assert(kSample == 2 * kBeat);
  if (++ticks_ % 2 == 0) sample(now);
  if (now - arrivals_asked_ >= kArrivals) take_arrivals(now);
  take_mirrors(now);
  watch_parked(now);
  keeper_->tick(now);
  pump();
  look_at_incidents(now);
  look_at_drills(now);
  look_at_duties(now);
  manager_.tick(now, workers_);
  rotate_tickets(now);
}

// Drains what the core wants done. Never re-entered: what is told to the core from inside is drained by the outer call.
void Process::pump() {
  if (pumping_) return;
  pumping_ = true;
  const struct Leave {
    bool& flag;
    ~Leave() { flag = false; }
  } leave{pumping_};
  for (;;) {
    while (auto action = core_.poll_action()) {
      if (const auto* probe = std::get_if<health::StartProbe>(&*action))
        perform(*probe);
      else if (const auto* proposal = std::get_if<health::Proposal>(&*action))
        coordinator_.propose(*proposal);
      else if (const auto* event = std::get_if<health::Event>(&*action))
        on_event(*event);
      else if (const auto* gate = std::get_if<health::RunGate>(&*action))
        perform(*gate);
      else if (const auto* synthetic = std::get_if<health::StartSynthetic>(&*action))
        perform(*synthetic);
      else
        view_changed_ = true;
    }
    const auto answer = coordinator_.poll_answer();
    if (!answer) break;
    const TimePoint now = note_time();
    if (const auto* decision = std::get_if<health::Decision>(&*answer))
      core_.on_committed(*decision, now);
    else if (const auto* refusal = std::get_if<health::Refusal>(&*answer))
      core_.on_refused(refusal->proposal, refusal->why, now);
  }
  if (view_changed_ && std::chrono::steady_clock::now() >= publish_due_) {
    publish(plan_);
    if (stop_ == Stop::no) manager_.status(describe_pools());
  }
  arm_core_timer();
}

void Process::arm_core_timer() {
  auto next = core_.next_timeout();
  if (view_changed_) next = std::min(next.value_or(publish_due_), publish_due_);
  if (!next) return;
  core_timer_.expires_at(*next);
  core_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    core_.on_time(note_time());
    pump();
  });
}

void Process::perform(const health::StartProbe& probe) {
  ask_agent(probe);
  if (hold_probe(probe)) return;
  probe::ProbeRequest request;
  request.address = probe.address;
  request.host = probe.server_name;
  request.check = probes_.checks[probe.pool];
  request.tls = probes_.tls[probe.pool];
  request.deadline = probe.deadline;
  prober_->start(std::move(request), [this, id = probe.endpoint](const health::ProbeResult& result) {
    counts_.on_check(id, result);
    if (result.status != 0) note_heard(id);
    core_.on_probe_result(id, result, note_time());
    pump();
  });
}

void Process::perform(const health::StartSynthetic& start) {
  const probe::SyntheticRequest& asked = probes_.synthetic[start.pool][start.request];
  probe::ProbeRequest request;
  request.address = start.address;
  request.host = start.server_name;
  request.check = asked.check;
  // Speaks TLS as traffic does, whatever the pool's check is.
  if (plan_->config.pools[start.pool].tls) request.tls = probes_.tls[start.pool];
  request.deadline = start.deadline;
  request.synthetic = asked.more;
  synthetic_prober_->start(std::move(request),
                           [this, id = start.endpoint, run = start.run](const health::ProbeResult& result) {
                             core_.on_synthetic_result(id, run, result, note_time());
                             pump();
                           });
}

void Process::perform(const health::RunGate& gate) {
  gates_->start(gate, [this](const health::GateResult& result) {
    core_.on_gate_result(result, note_time());
    pump();
  });
}

// As last published: what a move that is under way comes from.
std::string_view Process::serving_tier(std::string_view pool_name) const {
  if (!view_) return {};
  for (const health::PoolView& pool : view_->pools)
    if (pool.name == pool_name && pool.active < pool.tiers.size()) return pool.tiers[pool.active].name;
  return {};
}

void Process::on_event(const health::Event& event) {
  using Kind = health::Event::Kind;
  events_.add(event);
  counts_.on_event(event, serving_tier(event.pool), std::chrono::system_clock::now());
  incidents_->on_event(event, acting_, moment());
  drills_.on_event(event);
  std::string line(health::name_of(event.kind));
  if (!event.pool.empty()) line += " pool=" + event.pool;
  if (!event.tier.empty()) line += " tier=" + event.tier;
  if (!event.endpoint.empty()) line += " endpoint=" + event.endpoint;
  if (event.epoch != 0) line += " epoch=" + std::to_string(event.epoch);
  line += ": " + event.reason;
  switch (event.kind) {
    case Kind::all_down:
    case Kind::shedding:
    case Kind::nothing_better:
    case Kind::tier_unfit:
    case Kind::tier_degraded:
    case Kind::failover: log(observe::Level::error, line); break;
    case Kind::endpoint_unhealthy:
    case Kind::endpoint_ejected:
    case Kind::endpoint_suspect:
    case Kind::endpoint_unfit:
    case Kind::endpoint_slow_to_open:
    case Kind::openings_moved:
    case Kind::probe_doubted:
    case Kind::tier_lost:
    case Kind::panic_entered:
    case Kind::endpoint_quarantined:
    case Kind::surge:
    case Kind::drill:
    case Kind::tunnels_parked:
    case Kind::proposal_refused:
    case Kind::starved: log(observe::Level::warn, line); break;
    default: log(observe::Level::info, line); break;
  }
  save_state_soon();
}

// ---- traffic -------------------------------------------------------------------------------------------------------

namespace {
// What was recorded since the last sample, summed over the workers.
void take_latency(const std::vector<const observe::Histogram*>& parts,
                  std::array<std::uint64_t, health::latency_buckets>& before, health::LatencyCounts& out) {
  for (std::size_t b = 0; b < before.size(); ++b) {
    std::uint64_t sum = 0;
    for (const observe::Histogram* part : parts) sum += part->bucket(b);
    const auto delta = static_cast<std::uint32_t>(sum >= before[b] ? sum - before[b] : sum);
    before[b] = sum;
    out.buckets[b] = delta;
    out.total += delta;
  }
}
}  // namespace

health::TrafficSample Process::collect(std::uint32_t slot, bool urgent) {
  Totals& totals = totals_[slot];
  health::TrafficSample out;
  out.endpoint = totals.id;
  out.urgent = urgent;
  std::array<std::uint64_t, static_cast<std::size_t>(Cause::count)> sums{};
  std::vector<const observe::Histogram*> first_byte, superseded, connect, websocket_open;
  std::vector<const observe::ClientEvidence*> clients;
  std::vector<const observe::BusiestClient*> busiest;
  std::uint64_t openings_left = 0;
  for (const auto& worker : workers_) {
    const auto* counters = worker->endpoint_counters().get(totals.id);
    clients.push_back(counters != nullptr ? counters->client.get() : nullptr);
    busiest.push_back(counters != nullptr ? &counters->busiest : nullptr);
    if (counters != nullptr) {
      for (std::size_t c = 0; c < sums.size(); ++c) sums[c] += counters->outcomes.get(static_cast<Cause>(c));
      first_byte.push_back(&counters->first_byte);
      superseded.push_back(&counters->superseded);
      connect.push_back(&counters->connect);
      websocket_open.push_back(&counters->websocket_open);
      openings_left += counters->openings_left.get();
    }
    const auto pending = worker->pending(slot);
    out.pending += pending.count;
    if (pending.oldest && (!out.oldest_pending || *pending.oldest < *out.oldest_pending))
      out.oldest_pending = pending.oldest;
    const auto opening = worker->opening(slot);
    out.opening_pending += opening.count;
    if (opening.oldest && (!out.oldest_opening || *opening.oldest < *out.oldest_opening))
      out.oldest_opening = opening.oldest;
  }
  for (std::size_t c = 0; c < sums.size(); ++c) {
    // A slot given out anew starts from zero.
    const std::uint64_t delta = sums[c] >= totals.outcomes[c] ? sums[c] - totals.outcomes[c] : sums[c];
    if (static_cast<Cause>(c) == Cause::none)
      out.successes = delta;
    else
      out.failures[c] = delta;
  }
  totals.outcomes = sums;
  const std::uint64_t left_before = std::exchange(totals.openings_left, openings_left);
  out.openings_left = static_cast<std::uint32_t>(openings_left - (openings_left >= left_before ? left_before : 0));
  take_latency(first_byte, totals.first_byte, out.first_byte);
  take_latency(superseded, totals.superseded, out.superseded);
  take_latency(connect, totals.connect, out.connect);
  take_latency(websocket_open, totals.websocket_open, out.websocket_open);
  out.client = totals.client.take(clients);
  out.busiest = totals.client.take(busiest);
  out.consecutive_failures = totals.load ? totals.load->consecutive_failures.load(std::memory_order_relaxed) : 0;
  if (out.pending > 0 || out.opening_pending > 0)
    waiting_slots_.insert(slot);
  else
    waiting_slots_.erase(slot);
  return out;
}

// Only endpoints touched since the last sample, and those with unanswered requests.
void Process::sample(TimePoint now) {
  std::set<std::uint32_t> slots(waiting_slots_);
  for (const auto& worker : workers_) worker->take_touched([&slots](std::uint32_t slot) { slots.insert(slot); });
  std::vector<health::TrafficSample> samples;
  for (const std::uint32_t slot : slots)
    if (slot < totals_.size() && totals_[slot].known) samples.push_back(collect(slot, false));
  if (!samples.empty()) core_.on_traffic(samples, now);
  acknowledge();
}

// What the workers have handed in since they were asked a second ago; and asks again.
void Process::take_arrivals(TimePoint now) {
  std::vector<net::WorkerShared::HandedIn> handed_in;
  {
    const std::lock_guard lock(shared_->arrivals_mutex);
    // A worker that does not come round is not asked again and again.
    if (arrivals_asked_ != TimePoint{} && shared_->arrivals.size() < workers_.size()) return;
    handed_in.swap(shared_->arrivals);
  }
  const bool first = arrivals_asked_ == TimePoint{};
  const health::Duration over = now - std::exchange(arrivals_asked_, now);
  for (const auto& worker : workers_) worker->post([w = worker.get()] { w->hand_in_arrivals(); });
  std::vector<health::ArrivalSample> samples;
  for (std::uint32_t p = 0; p < plan_->pools.size() && !first && !handed_in.empty(); ++p) {
    health::ArrivalSample& sample = samples.emplace_back();
    sample.pool = p;
    sample.over = over;
    std::map<std::string, std::uint64_t, std::less<>> clients;
    for (const auto& part : handed_in) {
      if (part.generation != plan_->generation) continue;
      const auto found = std::lower_bound(part.pools.begin(), part.pools.end(), p,
                                          [](const auto& one, std::uint32_t pool) { return one.first < pool; });
      if (found == part.pools.end() || found->first != p) continue;
      sample.requests += found->second.requests;
      found->second.clients.each([&clients](const std::string& name, std::uint64_t count) { clients[name] += count; });
    }
    for (const auto& [address, count] : clients) sample.most.push_back({address, count});
    std::sort(sample.most.begin(), sample.most.end(),
              [](const auto& a, const auto& b) { return a.requests > b.requests; });
    if (sample.most.size() > kBusiest) sample.most.resize(kBusiest);
  }
  core_.on_arrivals(samples, now);
}

void Process::on_urgent(health::EndpointId endpoint) {
  if (endpoint.slot >= totals_.size() || !totals_[endpoint.slot].known || totals_[endpoint.slot].id != endpoint) return;
  const TimePoint now = note_time();
  const health::TrafficSample sample = collect(endpoint.slot, true);
  core_.on_traffic({&sample, 1}, now);
  pump();
}

// ---- snapshots -----------------------------------------------------------------------------------------------------

void Process::index_view(const health::View& view) {
  for (Totals& totals : totals_) totals.known = false;
  std::uint64_t beyond = 0;
  for (const auto& pool : view.pools)
    for (const auto& tier : pool.tiers)
      for (const auto& endpoint : tier.endpoints) {
        if (endpoint.id.slot >= net::kMaxSlots) {
          ++beyond;
          continue;
        }
        if (endpoint.id.slot >= totals_.size()) totals_.resize(endpoint.id.slot + 1);
        Totals& totals = totals_[endpoint.id.slot];
        if (totals.id != endpoint.id) totals = Totals{};
        totals.id = endpoint.id;
        totals.known = true;
        totals.load = endpoint.load;
      }
  if (beyond > endpoints_beyond_)
    log(observe::Level::error, std::to_string(beyond) + " endpoints get no traffic: there are more than the " +
                                   std::to_string(net::kMaxSlots) +
                                   " this process can keep books of; use fewer, or lower [dns] max_addresses");
  endpoints_beyond_ = beyond;
}

// A view costs as much as there are endpoints: what changes while many are being looked at is told together, so that a tenth of
// the time at most is spent on telling. With a hundred endpoints that delays nothing by as much as a millisecond.
void Process::publish(std::shared_ptr<const net::Plan> plan) {
  const TimePoint began = std::chrono::steady_clock::now();
  view_ = core_.view();
  view_changed_ = false;
  index_view(*view_);
  auto snapshot = std::make_shared<net::Snapshot>();
  snapshot->version = ++snapshot_version_;
  if (plan != plan_ || counters_.empty()) {
    plan_ = std::move(plan);
    std::vector<std::string> listeners, routes, pools;
    for (const auto& l : plan_->config.listeners) listeners.push_back(l.name);
    for (const auto& r : plan_->config.routes) routes.push_back(r.name);
    for (const auto& p : plan_->config.pools) pools.push_back(p.name);
    routes.emplace_back("none");  // what no route matched
    counters_.clear();
    for (auto& book : books_) {
      counters_.push_back(book->plan(listeners, routes, pools));
      book->forget_unused();
    }
  }
  snapshot->plan = plan_;
  snapshot->view = view_;
  snapshot->counters = counters_;
  snapshot->faults = drills_.faults_of(*view_, began);
  unacknowledged_.emplace_back(snapshot->version, view_->version);
  for (const auto& worker : workers_)
    worker->post([w = worker.get(), snapshot]() mutable { w->apply(std::move(snapshot)); });
  const TimePoint now = std::chrono::steady_clock::now();
  publish_due_ = now + std::min<TimePoint::duration>(kPublishShare * (now - began), kPublishLate);
}

// What every worker has applied can be forgotten, and slots without an owner since may be given out again.
void Process::acknowledge() {
  if (unacknowledged_.empty() && reloads_.empty()) return;
  std::uint64_t oldest = UINT64_MAX;
  for (const auto& worker : workers_) oldest = std::min(oldest, worker->applied_version());
  std::uint64_t view = 0;
  while (!unacknowledged_.empty() && unacknowledged_.front().first <= oldest) {
    view = unacknowledged_.front().second;
    unacknowledged_.pop_front();
  }
  if (view != 0) core_.on_view_acknowledged(view);
  finish_reloads();
}

}  // namespace understudy::server
