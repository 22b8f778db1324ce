// Any text is either a configuration or refused with reasons that stand inside the file; and what is shown of
// a configuration is one again.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/load.hpp"

namespace {

using namespace understudy::config;

void require(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

const LoadContext& context() {
  static const LoadContext made = [] {
    LoadContext fresh;
    fresh.environment = [](const std::string& name) -> std::optional<std::string> {
      if (name == "A") return "10.0.0.1:80";
      if (name == "N") return "5";
      if (name == "S") return "canary-7c1d";
      if (name == "E") return "";
      return std::nullopt;
    };
    fresh.read_file = [](const std::string& path) -> std::optional<std::string> {
      if (path.size() % 2 == 0) return std::nullopt;
      return "canary-7c1d\n";
    };
    fresh.readable_by_others = [](const std::string& path) { return path.size() % 3 == 0; };
    return fresh;
  }();
  return made;
}

bool has_error(const LoadResult& result) {
  return std::any_of(result.diagnostics.begin(), result.diagnostics.end(),
                     [](const Diagnostic& diagnostic) { return diagnostic.severity == Severity::error; });
}

void check_places(const LoadResult& result, std::string_view text) {
  const auto lines = static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  std::pair<std::uint32_t, std::uint32_t> last{0, 0};
  for (const Diagnostic& diagnostic : result.diagnostics) {
    const std::pair<std::uint32_t, std::uint32_t> here{diagnostic.line, diagnostic.column};
    require(diagnostic.line <= lines, "a place below the file");
    require(diagnostic.column <= text.size() + 1, "a place beside the file");
    require((diagnostic.line == 0) == (diagnostic.column == 0), "half a place");
    require(diagnostic.width >= 1, "no width");
    require(last <= here, "not sorted");
    require(!diagnostic.message.empty(), "an empty message");
    for (const char c : diagnostic.message + diagnostic.hint) {
      require(static_cast<unsigned char>(c) >= 0x20, "a control byte in a message");
    }
    last = here;
  }
}

void check_output(const std::string& output) {
  for (const char c : output) {
    require(static_cast<unsigned char>(c) >= 0x20 || c == '\n', "a control byte on the terminal");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const LoadResult result = load(text, "fuzz.toml", context());
  require(result.config.has_value() != has_error(result), "a configuration beside an error, or neither");
  check_places(result, text);
  check_output(render(result.diagnostics, text));
  check_output(render_json(result.diagnostics));
  if (!result.config) return 0;
  require(!result.config->listeners.empty() && !result.config->routes.empty(), "a configuration without use");
  for (const PoolConfig& pool : result.config->pools) {
    require(!pool.tiers.empty(), "a pool without tiers");
    for (const TierConfig& tier : pool.tiers) require(!tier.endpoints.empty(), "a tier without endpoints");
  }
  for (const RouteConfig& route : result.config->routes) {
    require(route.pool.empty() || result.config->pool(route.pool) != nullptr, "a route into nothing");
  }
  require(restart_only_changes(*result.config, *result.config).empty(), "a difference from itself");
  // What came from outside was there once; shown, paths are absolute and tokens are stars, so files may be
  // missing now.
  LoadContext again = context();
  again.read_file = nullptr;
  const std::string shown = show(result, true);
  const LoadResult second = load(shown, "fuzz.toml", again);
  if (!second.config) std::fprintf(stderr, "%s\n%s", shown.c_str(), render(second.diagnostics, shown).c_str());
  require(second.config.has_value(), "what is shown does not load");
  LoadResult plain = second;
  plain.origins = result.origins;
  const std::string third = show(plain, true);
  if (third != shown) std::fprintf(stderr, "first:\n%s\nsecond:\n%s", shown.c_str(), third.c_str());
  require(third == shown, "what is shown drifts");
  return 0;
}
