// The host of a request or a pattern, in the one spelling that is compared: lower case, no port, no trailing
// dot.
#pragma once

#include <array>
#include <string_view>

namespace understudy::route {

// Room for the longest name of the DNS (253 bytes) and for the form of an IPv6 literal used here.
using HostBuffer = std::array<char, 256>;

// "Example.ORG.:8080" -> "example.org"; "[::1]:80" and "[0:0:0:0:0:0:0:1]" -> the same key (which no DNS name
// can equal). The answer points into `authority` where that is spelled right already, else into `buffer`.
// Empty when there is no host, or one longer than 253 bytes, which no name is: such a request meets only
// routes without a host.
std::string_view normalise_host(std::string_view authority, HostBuffer& buffer);

}  // namespace understudy::route
