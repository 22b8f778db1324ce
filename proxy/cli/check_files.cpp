#include "proxy/cli/check_files.hpp"

#include <charconv>

#include "proxy/net/tls.hpp"

namespace understudy::cli {
namespace {

// Takes ":12" off the end of "understudy.toml:3:12"; 0 when there is no number.
std::uint32_t take_number(std::string_view& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return 0;
  std::uint32_t number = 0;
  const std::string_view digits = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size()) return 0;
  text = text.substr(0, colon);
  return number;
}

config::Diagnostic finding(const config::LoadResult& loaded, const std::string& file, const std::string& key,
                           const std::string& why) {
  config::Diagnostic diagnostic;
  diagnostic.file = file;
  diagnostic.message = std::string("[").append(key).append("]: ").append(why);
  // The nearest key with a known place: "listen.web.tls", else one below it ("listen.web.tls.certificates").
  const auto origin = loaded.origins.lower_bound(key);
  if (origin != loaded.origins.end() && origin->first.starts_with(key)) {
    std::string_view place = origin->second;
    diagnostic.column = take_number(place);
    diagnostic.line = take_number(place);
    if (diagnostic.line == 0) diagnostic.column = 0;
  }
  return diagnostic;
}

}  // namespace

std::vector<config::Diagnostic> check_tls_of(const config::LoadResult& loaded, const std::string& file) {
  std::vector<config::Diagnostic> found;
  for (const auto& listener : loaded.config->listeners) {
    const std::string why = listener.tls ? net::check_tls_files(*listener.tls) : std::string{};
    if (!why.empty()) found.push_back(finding(loaded, file, "listen." + listener.name + ".tls", why));
  }
  for (const auto& pool : loaded.config->pools) {
    const std::string why = pool.tls ? net::check_tls_files(*pool.tls) : std::string{};
    if (!why.empty()) found.push_back(finding(loaded, file, "pool." + pool.name + ".tls", why));
  }
  return found;
}

}  // namespace understudy::cli
