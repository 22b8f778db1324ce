#include "proxy/observe/client_evidence.hpp"

#include <algorithm>
#include <utility>

#include "health/weighing.hpp"

namespace understudy::observe {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;

// What came since `before`, all of it where the place was given anew.
ClientEvidence::Counts since(const ClientEvidence::Counts& before, const ClientEvidence::Counts& now) {
  if (before.client != now.client || before.turn != now.turn) return now;
  const auto more = [](std::uint64_t from, std::uint64_t to) { return to >= from ? to - from : to; };
  ClientEvidence::Counts out = now;
  out.successes = more(before.successes, now.successes);
  out.failures = more(before.failures, now.failures);
  out.bad = more(before.bad, now.bad);
  for (std::size_t b = 0; b < out.first_byte.size(); ++b)
    out.first_byte[b] = more(before.first_byte[b], now.first_byte[b]);
  return out;
}

}  // namespace

bool ClientEvidence::blame(std::uint64_t client) {
  if (client_.load(relaxed) == client) {
    votes_ = std::min(votes_ + 1, kMostVotes);
    return true;
  }
  if (votes_ > 0) {
    --votes_;
    return false;
  }
  successes_.store(0, relaxed);
  failures_.store(0, relaxed);
  bad_.store(0, relaxed);
  first_byte_.reset();
  client_.store(client, relaxed);
  bump(turn_);
  votes_ = 1;
  return true;
}

void ClientEvidence::answered(std::uint64_t client, std::chrono::nanoseconds waited, bool slow) {
  if (slow ? !blame(client) : client_.load(relaxed) != client) return;
  if (slow) bump(bad_);
  first_byte_.record(waited);
}

void ClientEvidence::ended(std::uint64_t client, health::Cause cause) {
  if (cause == health::Cause::none) {
    if (client_.load(relaxed) == client) bump(successes_);
    return;
  }
  if (!health::may_be_provoked(cause) || !blame(client)) return;
  bump(bad_);
  bump(failures_);
}

void ClientEvidence::reset() {
  client_.store(0, relaxed);
  successes_.store(0, relaxed);
  failures_.store(0, relaxed);
  bad_.store(0, relaxed);
  first_byte_.reset();
  bump(turn_);
  votes_ = 0;
}

ClientEvidence::Counts ClientEvidence::read() const {
  Counts out;
  out.client = client_.load(relaxed);
  out.turn = turn_.load(relaxed);
  out.successes = successes_.load(relaxed);
  out.failures = failures_.load(relaxed);
  out.bad = bad_.load(relaxed);
  for (std::size_t b = 0; b < out.first_byte.size(); ++b) out.first_byte[b] = first_byte_.bucket(b);
  return out;
}

ClientEvidence& LazyClientEvidence::made() {
  ClientEvidence* evidence = place_.load(relaxed);
  if (evidence == nullptr) {
    evidence = std::make_unique<ClientEvidence>().release();
    place_.store(evidence, std::memory_order_release);
  }
  return *evidence;
}

ClientEvidenceReader::Client ClientEvidenceReader::take(const std::vector<const ClientEvidence*>& workers) {
  // Connections of one address are spread over the workers, each of which blames for itself.
  std::vector<ClientEvidence::Counts> clients;
  for (std::size_t w = 0; w < workers.size(); ++w) {
    if (workers[w] == nullptr) continue;
    if (before_.size() <= w) before_.resize(workers.size());
    const ClientEvidence::Counts now = workers[w]->read();
    const ClientEvidence::Counts part = since(before_[w], now);
    before_[w] = now;
    if (part.client == 0) continue;
    const auto same =
        std::find_if(clients.begin(), clients.end(), [&](const auto& c) { return c.client == part.client; });
    if (same == clients.end()) {
      clients.push_back(part);
      continue;
    }
    same->successes += part.successes;
    same->failures += part.failures;
    same->bad += part.bad;
    for (std::size_t b = 0; b < part.first_byte.size(); ++b) same->first_byte[b] += part.first_byte[b];
  }
  Client out;
  if (clients.empty()) return out;
  const auto& most =
      *std::max_element(clients.begin(), clients.end(), [](const auto& a, const auto& b) { return a.bad < b.bad; });
  out.id = most.client;
  out.successes = most.successes;
  out.failures = most.failures;
  for (std::size_t b = 0; b < most.first_byte.size(); ++b) {
    out.first_byte.buckets[b] = static_cast<std::uint32_t>(most.first_byte[b]);
    out.first_byte.total += out.first_byte.buckets[b];
  }
  return out;
}

ClientEvidenceReader::Busiest ClientEvidenceReader::take(const std::vector<const BusiestClient*>& workers) {
  std::vector<Busiest> clients;
  for (std::size_t w = 0; w < workers.size(); ++w) {
    if (workers[w] == nullptr) continue;
    if (busiest_before_.size() <= w) busiest_before_.resize(workers.size());
    const BusiestClient::Counts now = workers[w]->read();
    const BusiestClient::Counts before = std::exchange(busiest_before_[w], now);
    if (now.client == 0) continue;
    const bool goes_on = before.client == now.client && now.requests >= before.requests;
    const std::uint64_t more = goes_on ? now.requests - before.requests : now.requests;
    const auto same =
        std::find_if(clients.begin(), clients.end(), [&](const Busiest& c) { return c.id == now.client; });
    if (same == clients.end()) {
      clients.push_back({now.client, more});
    } else {
      same->requests += more;
    }
  }
  const auto most = std::max_element(clients.begin(), clients.end(),
                                     [](const Busiest& a, const Busiest& b) { return a.requests < b.requests; });
  return most == clients.end() ? Busiest{} : *most;
}

}  // namespace understudy::observe
