#include "tests/bench/load/heads.hpp"

#include <string.h>
#include <strings.h>

#include <charconv>

namespace bench {

std::size_t head_length(const char* data, std::size_t size) {
  const auto* end = static_cast<const char*>(::memmem(data, size, "\r\n\r\n", 4));
  return end == nullptr ? 0 : static_cast<std::size_t>(end - data) + 4;
}

std::string_view field(std::string_view head, std::string_view name) {
  const char* at = head.data();
  const char* const end = at + head.size();
  while (true) {
    at = static_cast<const char*>(::memchr(at, '\n', static_cast<std::size_t>(end - at)));
    if (at == nullptr || static_cast<std::size_t>(end - ++at) <= name.size()) return {};
    if ((*at | 0x20) != name[0] || at[name.size()] != ':' || ::strncasecmp(at, name.data(), name.size()) != 0) continue;
    at += name.size() + 1;
    while (at < end && *at == ' ') ++at;
    const auto* stop = static_cast<const char*>(::memchr(at, '\r', static_cast<std::size_t>(end - at)));
    return stop == nullptr ? std::string_view{} : std::string_view(at, static_cast<std::size_t>(stop - at));
  }
}

bool equals_field(std::string_view head, std::string_view name, std::string_view value) {
  const std::string_view found = field(head, name);
  return found.size() == value.size() && ::strncasecmp(found.data(), value.data(), value.size()) == 0;
}

std::size_t number_field(std::string_view head, std::string_view name) {
  const std::string_view text = field(head, name);
  std::size_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace bench
