// Quantities and addresses: what parses prints to something that parses to the same; what does not says why.
#include "config/units.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/address.hpp"
#include "config/suggest.hpp"

namespace {

using namespace understudy::config;

void require(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

template <class Parse, class Format>
void check(std::string_view text, const Parse& parse, const Format& format, const char* what) {
  UnitError error;
  const auto value = parse(text, &error);
  if (!value) {
    require(!error.problem.empty(), what);
    require(error.problem.size() < 100 && error.remedy.size() < 100, "a long reason");
    return;
  }
  require(error.problem.empty(), what);
  require(*value >= std::decay_t<decltype(*value)>{}, "a negative quantity");
  const std::string printed = format(*value);
  const auto back = parse(printed, nullptr);
  require(back.has_value() && *back == *value, what);
}

void check_address(std::string_view text) {
  std::string error;
  const auto address = parse_address(text, 0, &error);
  if (!address) {
    require(!error.empty(), "no reason");
  } else {
    require(address->text == text, "the text as written");
    if (const auto numeric = address->numeric(); numeric && !address->host.empty()) {
      const auto back = parse_address(numeric->to_string(), 0, nullptr);
      require(back && back->numeric() == numeric, "the numeric form");
    }
  }
  if (const auto ip = parse_ip(text)) {
    require(parse_ip(ip->ip_string()) == ip, "the IP");
    const auto whole = parse_cidr(text);
    require(whole && whole->contains(*ip), "an address as its own network");
  }
  if (const auto network = parse_cidr(text)) {
    require(network->contains(network->base), "the base of a network");
    require(parse_cidr(network->base.ip_string() + "/" + std::to_string(network->prefix)) == network, "the network");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text, parse_duration, format_duration, "duration");
  check(text, parse_size, format_size, "size");
  check(text, parse_byte_rate, format_byte_rate, "byte rate");
  check_address(text);
  check(text, parse_rate, format_rate, "rate");
  check(text, parse_share, format_share, "share");
  const auto near = nearest(text, {"weight", "interval", "max_connections", "path"});
  if (near && text == "path") require(*near == "path", "the word itself is nearest");
  return 0;
}
