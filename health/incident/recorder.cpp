#include "health/incident/recorder.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "health/explain.hpp"
#include "health/incident/wellness.hpp"

namespace understudy::incident {
namespace {

using health::Event;
using std::chrono::milliseconds;
using Kind = Event::Kind;

constexpr Duration kLookEvery = std::chrono::seconds(1);          // at what is open or may become so
constexpr Duration kSuspicionLasts = std::chrono::seconds(3);     // before a mere doubt is an incident
constexpr milliseconds kContextLasts = std::chrono::minutes(10);  // what happened earlier explains nothing
constexpr milliseconds kEcho = std::chrono::seconds(5);           // of a drill's fault
constexpr std::size_t kMostText = 2000;
constexpr milliseconds kGap{2000};       // between samples that belong together
constexpr double kAbnormalShare = 0.05;  // of failed requests, in one sample

Entry::Kind kind_of(const Event& event) {
  switch (event.kind) {
    case Kind::endpoint_unhealthy:
    case Kind::endpoint_ejected:
    case Kind::endpoint_suspect:
    case Kind::endpoint_quarantined:
    case Kind::tier_lost:
    case Kind::tier_degraded:
    case Kind::panic_entered:
    case Kind::all_down:
    case Kind::starved:
    case Kind::probe_doubted:
    case Kind::endpoint_unfit:
    case Kind::tier_unfit:
    case Kind::endpoint_slow_to_open:
    case Kind::surge: return Entry::Kind::signal;
    case Kind::endpoint_healthy:
    case Kind::endpoint_unejected:
    case Kind::endpoint_trusted:
    case Kind::tier_restored:
    case Kind::tier_recovered:
    case Kind::endpoint_fit:
    case Kind::tier_fit:
    case Kind::endpoint_opens_again:
    case Kind::panic_left: return Entry::Kind::recovery;
    case Kind::nothing_better:
    case Kind::failback_pending:
    case Kind::proposal_refused: return Entry::Kind::decision;
    case Kind::failover:
    case Kind::failback:
    case Kind::shedding:
    case Kind::tunnels_parked:
    case Kind::openings_moved:
    case Kind::openings_returned:
    case Kind::spill: return Entry::Kind::action;
    case Kind::verdict: return Entry::Kind::verdict;
    case Kind::gate: return Entry::Kind::gate;
    case Kind::endpoint_operator:
    case Kind::held:
    case Kind::maintenance: return Entry::Kind::person;
    case Kind::agent:
    case Kind::drill:
    case Kind::endpoint_added:
    case Kind::endpoint_removed: break;
  }
  return Entry::Kind::note;
}

// Signs that something is wrong with this pool, as opposed to what is good to know beside them.
bool is_signal(Kind kind) {
  switch (kind) {
    case Kind::endpoint_unhealthy:
    case Kind::endpoint_ejected:
    case Kind::endpoint_suspect:
    case Kind::tier_lost:
    case Kind::tier_degraded:
    case Kind::panic_entered:
    case Kind::all_down:
    case Kind::tier_unfit:
    case Kind::endpoint_slow_to_open:
    case Kind::nothing_better:
    case Kind::shedding: return true;
    default: return false;
  }
}

// More than a doubt, or what follows from others.
bool is_finding(Kind kind) {
  switch (kind) {
    case Kind::endpoint_unhealthy:
    case Kind::endpoint_ejected:
    case Kind::tier_lost:
    case Kind::tier_degraded:
    case Kind::tier_unfit: return true;
    default: return false;
  }
}

std::string cause_of(const Event& event) {
  if (event.cause != health::Cause::none) return std::string(health::name_of(event.cause));
  if (event.cause_class != health::CauseClass::none) return std::string(health::name_of(event.cause_class));
  return {};
}

// On a character's beginning.
void cut(std::string& text) {
  if (text.size() <= kMostText) return;
  std::size_t end = kMostText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  text.resize(end);
  text += "…";
}

// The same finding with other figures is no news.
std::string without_figures(const std::string& text) {
  std::string out;
  for (const char c : text)
    if ((c < '0' || c > '9') && c != '.') out += c;
  return out;
}

// How long one point of the series is, by how many there were since the last time it got interesting.
Duration width(std::size_t fine, std::size_t all) {
  constexpr std::array<int, 6> kSeconds = {1, 2, 5, 10, 30, 60};
  constexpr std::size_t kEach = 120;
  if (all >= Recorder::kMostSamples * 3 / 4) return std::chrono::minutes(30);
  return std::chrono::seconds(kSeconds[std::min(fine / kEach, kSeconds.size() - 1)]);
}

std::chrono::microseconds quantile(const health::LatencyCounts& counts, double q) {
  health::LatencyMemory memory(std::chrono::hours(24));
  memory.add(counts, TimePoint{});
  return std::chrono::duration_cast<std::chrono::microseconds>(memory.quantile(q));
}

Sample sample_of(Wall from, Duration over, const Counts& counts, const health::LatencyCounts& duration) {
  return {from, std::chrono::round<milliseconds>(over), counts, quantile(duration, 0.5), quantile(duration, 0.95)};
}

}  // namespace

void Recorder::configure(Settings settings, const Moment& now) {
  const bool changed = settings.config != settings_.config;
  settings_ = std::move(settings);
  look_now_ = true;
  if (!changed) return;
  for (auto& [pool, incident] : open_) {
    Entry entry;
    entry.event = "configured";
    entry.at = entry.since = wall_of(watches_[pool], now.at, now);
    entry.cause = settings_.config;
    entry.text = "a configuration was loaded, fingerprint " + settings_.config;
    add(incident, watches_[pool], std::move(entry));
  }
}

void Recorder::resume(std::vector<Incident> open, std::uint64_t next, const Moment& now) {
  next_ = std::max(next_, next);
  for (Incident& incident : open) {
    next_ = std::max(next_, incident.number + 1);
    const std::string pool = incident.opened.pool;
    Watch& watch = watches_[pool];
    watch.anchor_at = now.at;
    // A clock that was set back must not put what comes now before what was.
    watch.anchor_wall = std::max(now.wall, incident.last());
    for (const Entry& entry : incident.entries) {
      ++(entry.endpoint.empty() ? watch.other_entries : watch.endpoint_entries);
      if (entry.kind == Entry::Kind::diagnosis) ++watch.diagnoses;
    }
    watch.samples = incident.samples.size();
    watch.was_moved = incident.moved.has_value();
    const Wall last = incident.last();
    Incident& kept = open_[pool] = std::move(incident);
    note(kept, watch, Entry::Kind::note, "restarted",
         "understudy was started again; the last that its former process wrote down was " +
             health::describe(watch.anchor_wall - last) + " ago",
         now);
  }
  look_now_ = true;
}

// Of a moment that this process measured.
Wall Recorder::wall_of(const Watch& watch, TimePoint at, const Moment& now) const {
  const bool anchored = watch.anchor_at != TimePoint{};
  const TimePoint from = anchored ? watch.anchor_at : now.at;
  return (anchored ? watch.anchor_wall : now.wall) + std::chrono::round<milliseconds>(at - from);
}

Entry Recorder::entry_of(const Event& event, const std::string& who, const Watch& watch, const Moment& now) const {
  Entry entry;
  entry.kind = who.empty() ? kind_of(event) : Entry::Kind::person;
  // Who orders a move sees it among the actions; that somebody ordered it stands in `who`.
  if (event.kind == Kind::failover || event.kind == Kind::failback) entry.kind = Entry::Kind::action;
  entry.event = health::name_of(event.kind);
  entry.at = wall_of(watch, event.at, now);
  entry.since = event.since == TimePoint{} ? entry.at : wall_of(watch, event.since, now);
  entry.tier = event.tier;
  entry.endpoint = event.endpoint;
  entry.epoch = event.epoch;
  entry.cause = cause_of(event);
  entry.text = event.reason;
  entry.who = who;
  cut(entry.text);
  return entry;
}

void Recorder::write(Incident& incident, Record record) {
  apply(incident, record);
  records_.push_back(std::move(record));
}

void Recorder::add(Incident& incident, Watch& watch, Entry entry) {
  const bool of_endpoint = !entry.endpoint.empty();
  std::size_t& used = of_endpoint ? watch.endpoint_entries : watch.other_entries;
  if (used >= (of_endpoint ? kMostEndpointEntries : kMostEntries)) {
    ++watch.left_out;
    return;
  }
  ++used;
  write(incident, {incident.number, std::move(entry)});
}

void Recorder::note(Incident& incident, Watch& watch, Entry::Kind kind, std::string event, std::string text,
                    const Moment& now) {
  Entry entry;
  entry.kind = kind;
  entry.event = std::move(event);
  entry.at = entry.since = wall_of(watch, now.at, now);
  entry.text = std::move(text);
  cut(entry.text);
  add(incident, watch, std::move(entry));
}

void Recorder::on_event(const Event& event, const std::string& who, const Moment& now) {
  if (event.pool.empty()) {  // of this process: it belongs to all that is open
    for (auto& [pool, incident] : open_) {
      Watch& watch = watches_[pool];
      add(incident, watch, entry_of(event, who, watch, now));
    }
    return;
  }
  Watch& watch = watches_[event.pool];
  Entry entry = entry_of(event, who, watch, now);
  const auto found = open_.find(event.pool);
  if (found == open_.end()) {
    if (is_signal(event.kind)) {
      if (watch.signals.empty()) {
        watch.when = event.at;
        watch.told = entry.at;
        watch.explained = watch.unexplained = false;
      }
      const bool of_drill = is_of_drill(event, watch, entry.at);
      watch.explained |= of_drill;
      watch.unexplained |= !of_drill && is_finding(event.kind);
      if (watch.signals.size() < kContext) watch.signals.push_back(entry);
      pending_.insert(event.pool);
      look_now_ = true;
    } else {
      if (event.kind == Kind::failover && !watch.left) watch.left = watch.serving;
      remember(watch, std::move(entry));
    }
    return;
  }
  const bool loss = event.kind == Kind::endpoint_unhealthy || event.kind == Kind::tier_lost;
  if (loss && !found->second.opened.drill.empty() && !watch.drill.until && !is_of_drill(event, watch, entry.at)) {
    found->second.beyond_drill = entry.text;
  }
  if (event.kind == Kind::failover) {
    watch.shifting = true;
    watch.was_moved = true;
  }
  if (event.kind == Kind::failback) watch.shifting = true;
  watch.consider |= event.kind == Kind::failover || event.kind == Kind::failback || event.kind == Kind::nothing_better;
  add(found->second, watch, std::move(entry));
  look_now_ = true;
}

void Recorder::on_act(const std::string& pool, const std::string& who, const std::string& text, const Moment& now) {
  Watch& watch = watches_[pool];
  Entry entry;
  entry.kind = Entry::Kind::person;
  entry.event = "act";
  entry.at = entry.since = wall_of(watch, now.at, now);
  entry.text = text;
  entry.who = who;
  cut(entry.text);
  if (const auto found = open_.find(pool); found != open_.end()) return add(found->second, watch, std::move(entry));
  remember(watch, std::move(entry));
}

void Recorder::on_drill(const std::string& pool, const std::string& name, const Moment& now) {
  Watch& watch = watches_[pool];
  const Wall at = wall_of(watch, now.at, now);
  if (name.empty()) {
    watch.drill.until = at;
  } else {
    watch.drill = {name, at, std::nullopt, {}, {}};
  }
}

void Recorder::on_drill_faults(const std::string& pool, const std::set<std::string>& endpoints,
                               const std::set<std::string>& tiers, const Moment& now) {
  Watch& watch = watches_[pool];
  const Wall at = wall_of(watch, now.at, now);
  for (const std::string& endpoint : endpoints) watch.drill.endpoints[endpoint] = at;
  for (const std::string& tier : tiers) watch.drill.tiers[tier] = at;
}

// Did a fault of a live drill do that? It is told about faults once a second, and checks find things a little later.
bool Recorder::is_of_drill(const Event& event, const Watch& watch, Wall at) {
  const auto met = [at](const std::map<std::string, Wall>& places, const std::string& name) {
    const auto found = places.find(name);
    return found != places.end() && at <= found->second + kEcho;
  };
  return event.endpoint.empty() ? met(watch.drill.tiers, event.tier) : met(watch.drill.endpoints, event.endpoint);
}

// For when something follows that it may explain.
void Recorder::remember(Watch& watch, Entry entry) const {
  if (watch.context.size() >= kContext) watch.context.erase(watch.context.begin());
  watch.context.push_back(std::move(entry));
}

bool Recorder::wants_status(TimePoint now) const {
  if (look_now_) return true;
  if (now < looked_at_ + kLookEvery) return false;
  return !open_.empty() || !pending_.empty();
}

void Recorder::on_status(std::span<const health::PoolStatus> pools, const Moment& now) {
  look_now_ = false;
  looked_at_ = now.at;
  for (const health::PoolStatus& pool : pools) {
    Watch& watch = watches_[pool.name];
    if (pool.active < pool.tiers.size()) watch.serving = {pool.tiers[pool.active].name, pool.epoch};
    if (const auto found = open_.find(pool.name); found != open_.end()) {
      follow(pool, found->second, watch, now);
      if (found->second.closed) open_.erase(found);
      continue;
    }
    if (watch.signals.empty()) {
      watch.left.reset();
      continue;
    }
    const Wellness wellness = wellness_of(pool, false);
    if (wellness.bad || (wellness.doubtful && now.at - *watch.when >= kSuspicionLasts)) {
      open(pool, watch, now);
    } else if (!wellness.doubtful) {
      // It passed by itself: good to know should something follow.
      for (Entry& entry : std::exchange(watch.signals, {})) remember(watch, std::move(entry));
      pending_.erase(pool.name);
      watch.left.reset();
    }
  }
  if (watches_.size() == pools.size()) return;  // each of them was just met
  std::set<std::string_view> names;
  for (const health::PoolStatus& pool : pools) names.insert(pool.name);
  const auto configured = [&names](const std::string& name) { return names.contains(name); };
  for (auto it = open_.begin(); it != open_.end();) {
    if (!configured(it->first)) close(it->second, watches_[it->first], "the pool is no longer configured", now);
    it = it->second.closed ? open_.erase(it) : std::next(it);
  }
  std::erase_if(watches_, [&](const auto& one) { return !configured(one.first); });
  std::erase_if(pending_, [&](const std::string& name) { return !configured(name); });
}

// The trouble may have been there before anything was said of it: samples right before it that are already bad belong to it.
Wall Recorder::first_abnormal(const Watch& watch, Wall since) const {
  Wall began = since;
  for (auto past = watch.before.rbegin(); past != watch.before.rend(); ++past) {
    if (past->end() > since) continue;
    if (past->counts.error_share() < kAbnormalShare || began - past->end() > kGap) break;
    began = past->from;
  }
  return began;
}

void Recorder::open(const health::PoolStatus& pool, Watch& watch, const Moment& now) {
  Watch fresh;
  fresh.signals = std::move(watch.signals);
  fresh.told = watch.told;
  fresh.context = std::move(watch.context);
  fresh.before = std::move(watch.before);
  fresh.serving = watch.serving;
  fresh.drill = watch.drill;
  const Watch::Serving served = watch.left.value_or(watch.serving);
  const bool explained = watch.explained && !watch.unexplained;
  watch = std::move(fresh);
  watch.anchor_at = now.at;
  watch.anchor_wall = now.wall;
  Opened opened;
  opened.pool = pool.name;
  opened.detected = watch.told;
  opened.began = watch.signals.front().since;
  for (const Entry& entry : watch.signals) opened.began = std::min(opened.began, entry.since);
  opened.began = first_abnormal(watch, opened.began);
  opened.epoch = served.epoch;
  opened.tier = served.tier;
  for (const health::TierStatus& tier : pool.tiers) opened.tiers.push_back(tier.name);
  opened.config = settings_.config;
  opened.version = settings_.version;
  const Watch::Drilled& drill = watch.drill;
  const bool of_drill = opened.detected >= drill.from && (!drill.until || opened.detected <= *drill.until);
  if (of_drill && explained) opened.drill = drill.name;

  pending_.erase(pool.name);
  const std::uint64_t number = next_++;
  Incident& incident = open_[pool.name] = Incident{};
  write(incident, {number, std::move(opened)});
  // Signals first: what was done in the same moment follows them in the timeline.
  for (Entry& entry : std::exchange(watch.signals, {})) add(incident, watch, std::move(entry));
  for (Entry& entry : std::exchange(watch.context, {}))
    if (entry.at + kContextLasts > incident.opened.began) add(incident, watch, std::move(entry));
  // The values before the fault, and those from its first second on.
  std::vector<Sample> before = std::exchange(watch.before, {});
  const auto early = static_cast<std::size_t>(std::count_if(
      before.begin(), before.end(), [&](const Sample& past) { return past.end() <= incident.opened.began; }));
  for (std::size_t i = early > kBefore ? early - kBefore : 0; i < before.size(); ++i) {
    ++watch.samples;
    write(incident, {number, before[i]});
  }
  // The move is often made in the same moment as its signals are told.
  watch.shifting = watch.consider = incident.moved.has_value();
  watch.was_moved = incident.moved || pool.active != first_in_use(pool);
  follow(pool, incident, watch, now);
}

void Recorder::follow(const health::PoolStatus& pool, Incident& incident, Watch& watch, const Moment& now) {
  if (!pool.diagnosis.empty() && watch.diagnoses < kMostDiagnoses) {
    std::string finding = without_figures(pool.diagnosis);
    if (finding != watch.diagnosis_told) {
      watch.diagnosis_told = std::move(finding);
      ++watch.diagnoses;
      note(incident, watch, Entry::Kind::diagnosis, "diagnosis", pool.diagnosis, now);
    }
  }
  if (std::exchange(watch.consider, false)) {
    Entry entry;
    entry.kind = Entry::Kind::decision;
    entry.event = "considered";
    entry.at = entry.since = wall_of(watch, now.at, now);
    entry.epoch = pool.epoch;
    if (pool.active < pool.tiers.size()) entry.tier = pool.tiers[pool.active].name;
    entry.text = "what there was to choose from";
    entry.alternatives = alternatives_of(pool);
    add(incident, watch, std::move(entry));
  }
  const bool whole = pool.active < pool.tiers.size() && pool.tiers[pool.active].share >= 0.999;
  if (watch.shifting && whole && pool.phase != "shifting") {
    watch.shifting = false;
    note(incident, watch, Entry::Kind::milestone, "traffic_moved",
         "all new requests are due to tier '" + pool.tiers[pool.active].name + "'", now);
  }
  judge(pool, incident, watch, now);
}

// Is it over?
void Recorder::judge(const health::PoolStatus& pool, Incident& incident, Watch& watch, const Moment& now) {
  const Wellness wellness = wellness_of(pool, watch.was_moved);
  if (!watch.well_since) {
    if (wellness.bad || wellness.doubtful) return;
    watch.well_since = now.at;
    note(incident, watch, Entry::Kind::milestone, "normal",
         "everything is as it should be again, on tier '" +
             (pool.active < pool.tiers.size() ? pool.tiers[pool.active].name : std::string()) + "'",
         now);
  } else if (wellness.bad) {
    watch.well_since.reset();
    watch.fine = 0;
    note(incident, watch, Entry::Kind::milestone, "relapse", "not well again: " + wellness.why, now);
  } else if (now.at - *watch.well_since >= settings_.settle) {
    close(incident, watch, "well for " + health::describe(now.at - *watch.well_since), now);
  }
}

void Recorder::close(Incident& incident, Watch& watch, std::string text, const Moment& now) {
  put_sample(incident, watch);
  write(incident, {incident.number, Closed{wall_of(watch, now.at, now), std::move(text), watch.left_out}});
  Watch fresh;
  fresh.serving = watch.serving;
  fresh.drill = watch.drill;
  watch = std::move(fresh);
}

void Recorder::put_sample(Incident& incident, Watch& watch) {
  if (watch.sampled <= Duration::zero()) return;
  ++watch.samples;
  ++watch.fine;
  write(incident, {incident.number, sample_of(watch.sample_from, watch.sampled, watch.counts, watch.duration)});
  watch.sampled = Duration::zero();
  watch.counts = {};
  watch.duration = {};
}

void Recorder::on_series(const std::string& pool, const Series& series, const Moment& now) {
  Watch& watch = watches_[pool];
  const Wall from = wall_of(watch, now.at - series.over, now);
  const auto found = open_.find(pool);
  if (found == open_.end()) {
    if (series.counts == Counts{}) return;
    if (watch.before.size() >= kBefore * 2) watch.before.erase(watch.before.begin());
    watch.before.push_back(sample_of(from, series.over, series.counts, series.duration));
    return;
  }
  if (watch.sampled <= Duration::zero()) watch.sample_from = from;
  watch.sampled += series.over;
  watch.counts.add(series.counts);
  watch.duration.add(series.duration);
  // Half a point more or less than it should be is well enough. The last one that there is room for takes the rest.
  if (watch.samples + 1 < kMostSamples && watch.sampled + series.over / 2 >= width(watch.fine, watch.samples))
    put_sample(found->second, watch);
}

void Recorder::on_stop(const Moment& now) {
  for (auto& [pool, incident] : open_) {
    Watch& watch = watches_[pool];
    put_sample(incident, watch);
    note(incident, watch, Entry::Kind::note, "stopped", "understudy was stopped", now);
  }
}

std::optional<Record> Recorder::poll_record() {
  if (records_.empty()) return std::nullopt;
  std::optional<Record> record(std::move(records_.front()));
  records_.pop_front();
  return record;
}

}  // namespace understudy::incident
