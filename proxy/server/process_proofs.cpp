// What is asked of endpoints besides their checks: agents, and copies of real requests. Their answers are facts for the core.
#include <algorithm>
#include <mutex>
#include <utility>

#include "proxy/http/writer.hpp"
#include "proxy/server/process.hpp"

namespace understudy::server {
namespace {

// A copy is not waited for any longer, whatever clients are: what hangs would hold the others' places. Only a longer
// latency_p95 asks for more.
constexpr std::chrono::milliseconds kCopyTime{5'000};
constexpr std::chrono::milliseconds kBeyondLimit{1'000};
// Three times as long as the serving tier's (health/mirror.hpp) fits into kCopyTime.
constexpr std::chrono::milliseconds kSlowest{1'500};

struct CopyTime {
  std::chrono::milliseconds length{};
  bool cut = false;  // shorter than a client would wait
};
CopyTime copy_time(const config::PoolConfig& pool) {
  const auto client = pool.connect_timeout + pool.response_timeout;
  auto most = kCopyTime;
  if (pool.degraded.latency_p95) most = std::max(most, *pool.degraded.latency_p95 + kBeyondLimit);
  return {std::min(client, most), client > most};
}

// Every status is an answer.
std::shared_ptr<const config::CheckConfig> any_answer() {
  auto check = std::make_shared<config::CheckConfig>();
  check->kind = config::CheckKind::http;
  check->expect = {{100, 599}};
  return check;
}

}  // namespace

// With each probe, on a connection of its own: an agent that hangs keeps no check waiting.
void Process::ask_agent(const health::StartProbe& probe) {
  const auto& check = probes_.agents[probe.pool];
  if (!check || probe.address.family == config::SocketAddress::Family::unix_path) return;
  probe::ProbeRequest request;
  request.address = probe.address;
  request.host = probe.server_name;
  request.check = check;
  request.deadline = probe.deadline;
  request.agent = true;
  synthetic_prober_->start(std::move(request), [this, id = probe.endpoint](const health::ProbeResult& result) {
    if (result.cause == health::Cause::own_error) return;
    health::AgentAnswer answer{result.ok() && result.value, result.ok() ? result.value.value_or("") : result.detail};
    core_.on_agent_answer(id, answer, note_time());
    pump();
  });
}

void Process::take_mirrors(TimePoint now) {
  std::vector<net::MirrorSample> samples;
  {
    const std::lock_guard lock(shared_->mirrors_mutex);
    samples.swap(shared_->mirrors);
    copies_.drop(CopiesUnderWay::Dropped::queue, std::exchange(shared_->mirrors_dropped, 0));
  }
  for (net::MirrorSample& sample : samples) send_mirror(std::move(sample), now);
}

// To each endpoint of the other tiers in turn. What is too much is left out: a copy is never worth waiting for.
void Process::send_mirror(net::MirrorSample sample, TimePoint now) {
  if (sample.generation != plan_->generation || sample.pool >= view_->pools.size()) return;
  const config::PoolConfig& config = plan_->config.pools[sample.pool];
  const health::PoolView* pool = &view_->pools[sample.pool];  // in the order of the configuration
  if (pool->name != config.name || !sample.head.ends_with("\r\n\r\n")) return;
  std::vector<const health::EndpointView*> others;
  for (std::uint32_t t = 0; t < pool->tiers.size(); ++t) {
    if (t == pool->active) continue;
    for (const health::EndpointView& endpoint : pool->tiers[t].endpoints)
      if (endpoint.available && !endpoint.draining && !endpoint.disabled) others.push_back(&endpoint);
  }
  if (others.empty()) return;
  const health::EndpointView& endpoint = *others[mirror_turn_++ % others.size()];
  const CopyTime time = copy_time(config);
  // What a client waited for longer than that would be a difference only because we do not wait for it.
  if (time.cut && sample.first_byte > kSlowest) return copies_.drop(CopiesUnderWay::Dropped::slow);
  const auto place = copies_.begin(endpoint.id);
  if (!place) return;
  sample.head.insert(sample.head.size() - 2, std::string(http::kMirrorName) + ": 1\r\n");
  auto copy = std::make_shared<probe::Synthetic>();
  copy->method = sample.head_only ? "HEAD" : "GET";
  copy->raw = std::move(sample.head);
  static const auto check = any_answer();
  probe::ProbeRequest request;
  request.address = endpoint.address;
  request.host = endpoint.server_name;
  request.check = check;
  if (config.tls) request.tls = probes_.tls[sample.pool];
  request.deadline = now + time.length;
  request.synthetic = std::move(copy);
  const health::Mirrored ours{sample.status, std::chrono::duration_cast<health::Duration>(sample.first_byte)};
  const auto answered = [this, id = endpoint.id, ours, place](const health::ProbeResult& result) {
    core_.on_mirrored(id, ours, result, note_time());
    pump();
  };
  synthetic_prober_->start(std::move(request), answered);
}

}  // namespace understudy::server
