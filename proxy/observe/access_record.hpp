// One finished exchange as a fixed-size record: written by a worker into its ring without locking or allocating,
// turned into a line by the file thread.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "proxy/observe/counters.hpp"

namespace understudy::observe {

// A cut-off copy of text; `cut` marks that something is missing.
template <std::size_t N>
struct FixedText {
  std::uint16_t size = 0;
  bool cut = false;
  std::array<char, N> text;
  void assign(std::string_view s) {
    cut = s.size() > N;
    size = static_cast<std::uint16_t>(cut ? N : s.size());
    if (size > 0) std::memcpy(text.data(), s.data(), size);  // an empty view may point nowhere
  }
  std::string_view view() const { return {text.data(), size}; }
};

// Who ended the exchange and why (operators' habits §2.4, in the glossary's words).
enum class Term : std::uint8_t {
  ok,
  client_abort,
  client_timeout,
  client_error,
  upstream_refused,
  upstream_timeout_connect,
  upstream_timeout_header,
  upstream_timeout_body,
  upstream_reset,
  upstream_bad_response,
  upstream_cut,
  request_timeout,
  limit_rate,
  limit_body,
  limit_connections,
  limit_memory,
  no_available_endpoint,
  maintenance,
  shed,
  openings,  // too many WebSockets were being opened
  local_answer,
  tunnel_idle,
  tunnel_closed,
  drained,
  shutdown,
  own_error,
  count
};
std::string_view name_of(Term term);

struct AccessRecord {
  std::int64_t unix_us = 0;  // start, wall clock
  std::uint32_t duration_us = 0;
  std::uint32_t ttfb_us = 0, connect_us = 0;
  std::uint32_t queue_us = 0;  // waited for an endpoint, or for its turn to open a WebSocket
  std::uint64_t bytes_in = 0, bytes_out = 0;
  std::uint16_t status = 0;
  std::uint8_t minor = 1;
  std::uint8_t attempts = 0;
  Term term = Term::ok;
  HedgeResult hedge = HedgeResult::count;  // of the second attempt beside a slow one; `count`: there was none
  bool tls = false;
  bool websocket = false;
  // Of a tunnel; `tunnel` says whether it was one.
  bool tunnel = false;
  TunnelEnd tunnel_end = TunnelEnd::own_error;
  Closer closed_by = Closer::none;
  std::uint16_t close_code = 0;  // 0: no Close frame, or one without a code
  std::uint64_t messages_in = 0, messages_out = 0;
  std::uint32_t parked = 0;  // times it lost its endpoint and was kept
  std::uint32_t route = 0;   // names are looked up by the file thread in the generation's name table
  std::uint32_t tier = 0;
  std::uint64_t epoch = 0;
  FixedText<8> method;
  FixedText<46> client_ip;
  FixedText<128> request_id;  // as long as an accepted one may be
  FixedText<32> trace_id;
  FixedText<64> listener, route_name, pool;
  FixedText<96> endpoint;
  FixedText<128> host;
  FixedText<768> path;  // with query unless log.query is false
  FixedText<256> user_agent, referer;
};

}  // namespace understudy::observe
