// Field names the proxy acts on, found by one hash and one compare. Internal to proxy/http.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "proxy/http/message.hpp"

namespace understudy::http {

inline constexpr std::size_t kKnownCount = static_cast<std::size_t>(Known::count);
static_assert(kKnownCount <= 64, "sets of known fields are kept in 64 bits");

// In the order of the enum, lower case.
inline constexpr std::array<std::string_view, kKnownCount> kKnownNames = {
    "",
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "content-length",
    "upgrade",
    "expect",
    "http2-settings",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
    "true-client-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-request-id",
    "traceparent",
    "tracestate",
    "accept",
    "user-agent",
    "referer",
    "cookie",
    "set-cookie",
    "authorization",
    "idempotency-key",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "content-type",
    "location",
    "retry-after",
    "date",
    "proxy-authenticate",
    "proxy-authorization",
};

// A set of known fields.
class KnownSet {
public:
  constexpr KnownSet() = default;
  constexpr KnownSet(std::initializer_list<Known> ids) {
    for (const Known id : ids) add(id);
  }
  constexpr void add(Known id) { bits_ |= bit(id); }
  constexpr bool has(Known id) const { return (bits_ & bit(id)) != 0; }

private:
  static constexpr std::uint64_t bit(Known id) { return std::uint64_t{1} << static_cast<unsigned>(id); }
  std::uint64_t bits_ = 0;
};

// Never travel further than one connection (RFC 9110 §7.6.1), whatever Connection names.
inline constexpr KnownSet kHopByHop = {Known::connection,
                                       Known::keep_alive,
                                       Known::proxy_connection,
                                       Known::te,
                                       Known::trailer,
                                       Known::transfer_encoding,
                                       Known::upgrade,
                                       Known::http2_settings,
                                       Known::proxy_authenticate,
                                       Known::proxy_authorization};

namespace detail {

inline constexpr std::size_t kLongestKnown = 24;

// A perfect hash over the length and two characters; the factors were searched for, and the assertion below
// guards them.
inline constexpr unsigned kSlots = 128;
constexpr unsigned slot_of(const char* name, std::size_t length) {
  const auto folded = [name](std::size_t at) { return static_cast<unsigned>(name[at] | 0x20); };
  return (static_cast<unsigned>(length) + folded(0) * 10 + folded(length * 7 / 8) * 53) % kSlots;
}
struct KnownIndex {
  bool perfect = true;
  std::array<std::uint8_t, kSlots> ids{};  // 0: none
};
constexpr KnownIndex make_known_index() {
  KnownIndex index;
  for (std::size_t id = 1; id < kKnownCount; ++id) {
    std::uint8_t& slot = index.ids[slot_of(kKnownNames[id].data(), kKnownNames[id].size())];
    if (slot != 0) index.perfect = false;
    slot = static_cast<std::uint8_t>(id);
  }
  return index;
}
inline constexpr KnownIndex kKnownIndex = make_known_index();
static_assert(kKnownIndex.perfect, "two known names share a slot: choose other factors in slot_of");
constexpr bool none_longer() {
  for (const std::string_view name : kKnownNames) {
    if (name.size() > kLongestKnown) return false;
  }
  return true;
}
static_assert(none_longer());

template <class Word>
Word load_folded(const char* p) {
  Word w;
  std::memcpy(&w, p, sizeof w);
  return w | static_cast<Word>(0x2020202020202020ULL);
}

// `known` is lower case. Setting bit 5 folds letters and changes no other character a token may have into one
// of ours.
inline bool equals_known(const char* name, const char* known, std::size_t n) {
  if (n >= 8) {
    for (std::size_t i = 0; i + 8 <= n; i += 8) {
      if (load_folded<std::uint64_t>(name + i) != load_folded<std::uint64_t>(known + i)) return false;
    }
    return load_folded<std::uint64_t>(name + n - 8) == load_folded<std::uint64_t>(known + n - 8);
  }
  if (n >= 4) {
    return load_folded<std::uint32_t>(name) == load_folded<std::uint32_t>(known) &&
           load_folded<std::uint32_t>(name + n - 4) == load_folded<std::uint32_t>(known + n - 4);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if ((name[i] | 0x20) != known[i]) return false;
  }
  return true;
}

}  // namespace detail

// REQUIRES: name consists of token characters.
inline Known known_id(const char* name, std::size_t length) {
  if (length > detail::kLongestKnown || length == 0) return Known::none;
  const std::uint8_t id = detail::kKnownIndex.ids.data()[detail::slot_of(name, length)];
  const std::string_view known = kKnownNames.data()[id];
  const bool same = known.size() == length && detail::equals_known(name, known.data(), length);
  return same ? static_cast<Known>(id) : Known::none;
}
inline Known known_id(std::string_view name) { return known_id(name.data(), name.size()); }

}  // namespace understudy::http
