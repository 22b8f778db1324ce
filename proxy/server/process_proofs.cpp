// What is asked of endpoints besides their checks: agents, and copies of real requests. Their answers are facts for the core.
#include <mutex>
#include <utility>

#include "proxy/server/process.hpp"

namespace understudy::server {
namespace {

constexpr std::size_t kMostCopies = 64;  // under way and waiting
constexpr std::string_view kMark = "Understudy-Mirror: 1\r\n";

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
  }
  for (net::MirrorSample& sample : samples) send_mirror(std::move(sample), now);
}

// To each endpoint of the other tiers in turn. What is too much is left out: a copy is never worth waiting for.
void Process::send_mirror(net::MirrorSample sample, TimePoint now) {
  if (sample.generation != plan_->generation || sample.pool >= view_->pools.size()) return;
  if (synthetic_prober_->running() + synthetic_prober_->queued() >= kMostCopies) return;
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
  sample.head.insert(sample.head.size() - 2, kMark);
  auto copy = std::make_shared<probe::Synthetic>();
  copy->method = sample.head_only ? "HEAD" : "GET";
  copy->raw = std::move(sample.head);
  static const auto check = any_answer();
  probe::ProbeRequest request;
  request.address = endpoint.address;
  request.host = endpoint.server_name;
  request.check = check;
  if (config.tls) request.tls = probes_.tls[sample.pool];
  request.deadline = now + config.connect_timeout + config.response_timeout;
  request.synthetic = std::move(copy);
  const health::Mirrored ours{sample.status, std::chrono::duration_cast<health::Duration>(sample.first_byte)};
  synthetic_prober_->start(std::move(request), [this, id = endpoint.id, ours](const health::ProbeResult& result) {
    core_.on_mirrored(id, ours, result, note_time());
    pump();
  });
}

}  // namespace understudy::server
