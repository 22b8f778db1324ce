#include "proxy/observe/counters.hpp"

namespace understudy::observe {
namespace {

template <typename Enum, std::size_t N>
std::string_view pick(const std::array<std::string_view, N>& names, Enum value) {
  static_assert(N == static_cast<std::size_t>(Enum::count), "one name per value");
  const auto index = static_cast<std::size_t>(value);
  return index < N ? names[index] : std::string_view("unknown");
}

template <typename Map, typename Key>
typename Map::mapped_type block_of(Map& blocks, Key&& key) {
  auto& found = blocks[std::forward<Key>(key)];
  if (!found) found = std::make_shared<typename Map::mapped_type::element_type>();
  return found;
}

template <typename Map>
std::size_t erase_unheld(Map& blocks) {
  return std::erase_if(blocks, [](const auto& entry) { return entry.second.use_count() == 1; });
}

}  // namespace

std::string_view name_of(Rejection value) {
  static constexpr std::array<std::string_view, 6> names{"max_connections", "per_ip",     "memory",
                                                         "descriptors",     "handshakes", "draining"};
  return pick(names, value);
}

std::string_view name_of(Limit value) {
  static constexpr std::array<std::string_view, 19> names{"header_timeout",
                                                          "first_byte_timeout",
                                                          "idle_timeout",
                                                          "body_timeout",
                                                          "write_timeout",
                                                          "handshake_timeout",
                                                          "min_rate",
                                                          "max_header_bytes",
                                                          "max_headers",
                                                          "max_uri_bytes",
                                                          "max_body_bytes",
                                                          "drain_body_bytes",
                                                          "max_requests_per_connection",
                                                          "max_in_flight",
                                                          "buffer_memory",
                                                          "retry_budget",
                                                          "request_timeout",
                                                          "response_timeout",
                                                          "key_update"};
  return pick(names, value);
}

std::string_view name_of(CodeClass value) {
  static constexpr std::array<std::string_view, 6> names{"1xx", "2xx", "3xx", "4xx", "5xx", "other"};
  return pick(names, value);
}

std::string_view name_of(TlsVersion value) {
  static constexpr std::array<std::string_view, 3> names{"TLSv1.2", "TLSv1.3", "unknown"};
  return pick(names, value);
}

std::string_view name_of(TlsResult value) {
  static constexpr std::array<std::string_view, 6> names{"full",      "resumed", "refused",
                                                         "malformed", "timeout", "aborted"};
  return pick(names, value);
}

std::string_view name_of(TunnelEnd value) {
  static constexpr std::array<std::string_view, 20> names{
      "client_closed",     "upstream_closed",  "client_reset",   "upstream_reset",  "idle",
      "max_duration",      "no_pong",          "protocol_error", "message_too_big", "endpoint_dead",
      "endpoint_disabled", "endpoint_removed", "draining",       "failover",        "failback",
      "route_removed",     "shutdown",         "own_error",      "park_timeout",    "resume_refused"};
  return pick(names, value);
}

std::string_view name_of(Closer value) {
  static constexpr std::array<std::string_view, 4> names{"none", "client", "endpoint", "proxy"};
  return pick(names, value);
}

std::string_view name_of(ParkReason value) {
  static constexpr std::array<std::string_view, 9> names{"upstream_reset", "upstream_closed",   "upstream_leaves",
                                                         "endpoint_dead",  "endpoint_disabled", "endpoint_removed",
                                                         "draining",       "failover",          "failback"};
  return pick(names, value);
}

std::string_view name_of(ParkEnd value) {
  static constexpr std::array<std::string_view, 6> names{"resumed", "late", "refused", "protocol", "client", "ended"};
  return pick(names, value);
}

std::string_view name_of(NotParked value) {
  static constexpr std::array<std::string_view, 5> names{"message_cut", "message_too_long", "opening_too_long",
                                                         "opening_no_room", "handshake_too_long"};
  return pick(names, value);
}

std::string_view CloseCounters::name_of(std::size_t place) {
  static constexpr std::array<std::string_view, kCodes> names{
      "none", "1000", "1001", "1002", "1003", "1004", "1005", "1006",      "1007", "1008",
      "1009", "1010", "1011", "1012", "1013", "1014", "1015", "3000-4999", "other"};
  return names[place];
}

std::string_view name_of(AcceptError value) {
  static constexpr std::array<std::string_view, 4> names{"descriptors", "memory", "aborted", "other"};
  return pick(names, value);
}

std::string_view name_of(HedgeResult value) {
  static constexpr std::array<std::string_view, 4> names{"won", "lost", "failed", "abandoned"};
  return value == HedgeResult::count ? std::string_view{} : pick(names, value);
}

std::string_view name_of(OpeningRefusal value) {
  static constexpr std::array<std::string_view, 3> names{"queue_full", "displaced", "late"};
  return pick(names, value);
}

std::string_view name_of(HedgeRefusal value) {
  static constexpr std::array<std::string_view, 4> names{"share", "budget", "client", "no_endpoint"};
  return pick(names, value);
}

std::string_view name_of(RetryRefusal value) {
  static constexpr std::array<std::string_view, 2> names{"budget", "client"};
  return pick(names, value);
}

void EndpointCounters::reset() {
  requests.reset();
  outcomes.reset();
  abandoned.reset();
  bytes_in.reset();
  bytes_out.reset();
  first_byte.reset();
  superseded.reset();
  connect.reset();
  websocket_open.reset();
  openings_left.reset();
  client.reset();
  busiest.reset();
}

EndpointTable::~EndpointTable() {
  for (auto& page : pages_) delete page.load(std::memory_order_relaxed);
}

void EndpointTable::prepare(health::EndpointId id) {
  if (id.slot >= kPageSlots * kPages) return;
  auto& place = pages_[id.slot / kPageSlots];
  Page* page = place.load(std::memory_order_relaxed);
  if (page == nullptr) {
    page = std::make_unique<Page>().release();
    place.store(page, std::memory_order_release);
  }
  const std::size_t index = id.slot % kPageSlots;
  const std::uint64_t owner = std::uint64_t{id.generation} + 1;
  if (page->owner[index].load(std::memory_order_relaxed) == owner) return;
  page->blocks[index].reset();
  page->owner[index].store(owner, std::memory_order_release);
}

const EndpointCounters* EndpointTable::get(health::EndpointId id) const {
  if (id.slot >= kPageSlots * kPages) return nullptr;
  const Page* page = pages_[id.slot / kPageSlots].load(std::memory_order_acquire);
  if (page == nullptr) return nullptr;
  const std::size_t index = id.slot % kPageSlots;
  const bool owned = page->owner[index].load(std::memory_order_acquire) == std::uint64_t{id.generation} + 1;
  return owned ? &page->blocks[index] : nullptr;
}

std::shared_ptr<const PlanCounters> CounterBook::plan(std::span<const std::string> listeners,
                                                      std::span<const std::string> routes,
                                                      std::span<const std::string> pools) {
  auto made = std::make_shared<PlanCounters>();
  made->route_count = routes.size();
  for (const std::string& listener : listeners) {
    made->listeners.push_back(block_of(listeners_, listener));
    for (const std::string& route : routes) {
      made->routes.push_back(block_of(routes_, std::pair(listener, route)));
    }
  }
  for (const std::string& pool : pools) made->pools.push_back(block_of(pools_, pool));
  return made;
}

std::size_t CounterBook::forget_unused() {
  return erase_unheld(listeners_) + erase_unheld(routes_) + erase_unheld(pools_);
}

}  // namespace understudy::observe
