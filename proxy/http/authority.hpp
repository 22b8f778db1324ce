// Host names with ports, as they stand in Host and in absolute-form targets. Internal to proxy/http.
#pragma once

#include <cstdint>
#include <string_view>

namespace understudy::http {

struct Authority {
  std::string_view host;   // IPv6 with its brackets
  std::uint16_t port = 0;  // 0: not given
};

// Host [":" port]: a registered name of letters, digits and "-._~" of at most 255 characters, an IPv4
// address, or an IPv6 address in brackets; port 1 to 65535. Narrower than RFC 3986: no percent-encoding, no
// user part, no empty host or port.
bool parse_authority(std::string_view text, Authority& authority);

// Same host, letters folded, and the same port after the scheme's default is filled in.
bool same_authority(const Authority& a, const Authority& b, std::uint16_t default_port);

}  // namespace understudy::http
