// Who the client is, and the ids that travel with a request.
#include <algorithm>

#include "proxy/http/chars.hpp"
#include "proxy/http/writer.hpp"

namespace understudy::http {

namespace {

// No honest chain is longer; what stands further left was written by whoever is left.
constexpr int kMaxHops = 64;

bool is_trusted(const config::SocketAddress& address, std::span<const config::Cidr> trusted) {
  return std::any_of(trusted.begin(), trusted.end(), [&](const config::Cidr& net) { return net.contains(address); });
}

// "1.2.3.4", "1.2.3.4:567", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:567"; the port is left out.
std::optional<config::SocketAddress> parse_hop(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  if (text.empty() || text.size() > 64) return std::nullopt;
  std::string_view port;
  if (text.front() == '[') {
    const auto bracket = text.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    if (bracket + 1 < text.size()) {
      if (text[bracket + 1] != ':') return std::nullopt;
      port = text.substr(bracket + 2);
      if (port.empty()) return std::nullopt;
    }
    text = text.substr(1, bracket - 1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    const auto colon = text.find(':');
    port = text.substr(colon + 1);
    if (port.empty()) return std::nullopt;
    text = text.substr(0, colon);
  }
  if (port.size() > 5 || !chars::all(port, chars::digit)) return std::nullopt;
  auto address = config::parse_ip(text);
  if (address) address->port = 0;
  return address;
}

}  // namespace

ClientIdentity identify_client(const config::SocketAddress& peer, const RequestHead& head, const char* base,
                               std::span<const config::Cidr> trusted) {
  ClientIdentity identity{peer, is_trusted(peer, trusted)};
  if (!identity.via_trusted || head.fields.find(Known::x_forwarded_for) == nullptr) return identity;
  int hops = 0;
  for (std::size_t i = head.fields.count; i-- > 0;) {
    const Field& field = head.fields.list[i];
    if (field.id != Known::x_forwarded_for) continue;
    std::string_view list = field.value.in(base);
    while (!list.empty()) {
      const auto comma = list.rfind(',');
      const auto element = chars::trim(comma == std::string_view::npos ? list : list.substr(comma + 1));
      list = comma == std::string_view::npos ? std::string_view{} : list.substr(0, comma);
      if (element.empty()) continue;
      if (++hops > kMaxHops) return identity;
      // Something unreadable: the hop that wrote it is the last one we know.
      auto address = parse_hop(element);
      if (!address) return identity;
      identity.address = std::move(*address);
      if (!is_trusted(identity.address, trusted)) return identity;
    }
  }
  return identity;
}

std::string_view acceptable_request_id(const RequestHead& head, const char* base, bool trusted) {
  if (!trusted) return {};
  std::string_view id;
  for (std::size_t i = 0; i < head.fields.count; ++i) {
    if (head.fields.list[i].id != Known::x_request_id) continue;
    if (!id.empty()) return {};
    id = head.fields.list[i].value.in(base);
  }
  if (id.size() < 8 || id.size() > 128) return {};
  for (const char c : id) {
    if (!chars::is(c, chars::reg_name) || c == '~') return {};
  }
  return id;
}

namespace {

// Both digits of each byte.
constexpr std::array<char, 512> make_hex_pairs() {
  std::array<char, 512> pairs{};
  for (std::size_t b = 0; b < 256; ++b) {
    pairs[2 * b] = chars::kHexDigits[b >> 4];
    pairs[2 * b + 1] = chars::kHexDigits[b & 15];
  }
  return pairs;
}
constexpr std::array<char, 512> kHexPairs = make_hex_pairs();

template <std::size_t N>
char* put_hex(char* out, const std::uint8_t* bytes) {
  for (std::size_t i = 0; i < N; ++i) std::memcpy(out + 2 * i, kHexPairs.data() + 2 * bytes[i], 2);
  return out + 2 * N;
}

}  // namespace

// RFC 9562 §5.7.
void write_uuid7(char out[36], std::uint64_t unix_ms, const std::uint8_t random[10]) {
  std::array<std::uint8_t, 16> id{};
  for (std::size_t i = 0; i < 6; ++i) id[i] = static_cast<std::uint8_t>(unix_ms >> (40 - 8 * i));
  std::memcpy(id.data() + 6, random, 10);
  id[6] = static_cast<std::uint8_t>((id[6] & 0x0f) | 0x70);
  id[8] = static_cast<std::uint8_t>((id[8] & 0x3f) | 0x80);
  char* p = put_hex<4>(out, id.data());
  *p++ = '-';
  p = put_hex<2>(p, id.data() + 4);
  *p++ = '-';
  p = put_hex<2>(p, id.data() + 6);
  *p++ = '-';
  p = put_hex<2>(p, id.data() + 8);
  *p++ = '-';
  put_hex<6>(p, id.data() + 10);
}

bool valid_traceparent(std::string_view text) {
  if (text.size() != 55 || text.substr(0, 3) != "00-" || text[35] != '-' || text[52] != '-') return false;
  const auto lower_hex = [](std::string_view part, bool zeros_allowed) {
    bool zero = true;
    for (const char c : part) {
      if (!(chars::is(c, chars::digit) || (c >= 'a' && c <= 'f'))) return false;
      zero = zero && c == '0';
    }
    return zeros_allowed || !zero;
  };
  return lower_hex(text.substr(3, 32), false) && lower_hex(text.substr(36, 16), false) &&
         lower_hex(text.substr(53, 2), true);
}

// W3C Trace Context. A trace that begins here is marked as sampled: its id stands in our log, so it is
// wanted.
void write_traceparent(char out[55], std::string_view incoming, const std::uint8_t random[24]) {
  const bool goes_on = valid_traceparent(incoming);
  std::array<std::uint8_t, 24> bytes{};
  std::memcpy(bytes.data(), random, bytes.size());
  std::array<std::uint64_t, 3> words;
  std::memcpy(words.data(), random, sizeof words);
  if ((words[0] | words[1]) == 0) bytes[15] = 1;
  if (words[2] == 0) bytes[23] = 1;
  char* p = out;
  *p++ = '0';
  *p++ = '0';
  *p++ = '-';
  if (goes_on) {
    std::memcpy(p, incoming.data() + 3, 32);
    p += 32;
  } else {
    p = put_hex<16>(p, bytes.data());
  }
  *p++ = '-';
  p = put_hex<8>(p, bytes.data() + 16);
  *p++ = '-';
  *p++ = goes_on ? incoming[53] : '0';
  *p++ = goes_on ? incoming[54] : '1';
}

}  // namespace understudy::http
