// Any text is either a scenario that stays within its bounds or refused with reasons that stand inside the file.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/scenario.hpp"

namespace {

using namespace understudy::config;

void require(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

void check_places(const ScenarioResult& result, std::string_view text) {
  const auto lines = static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  std::pair<std::uint32_t, std::uint32_t> last{0, 0};
  for (const Diagnostic& diagnostic : result.diagnostics) {
    const std::pair<std::uint32_t, std::uint32_t> here{diagnostic.line, diagnostic.column};
    require(diagnostic.line <= lines && diagnostic.column <= text.size() + 1, "a place outside of the file");
    require((diagnostic.line == 0) == (diagnostic.column == 0), "half a place");
    require(last <= here, "not sorted");
    require(!diagnostic.message.empty(), "an empty message");
    for (const char c : diagnostic.message + diagnostic.hint)
      require(static_cast<unsigned char>(c) >= 0x20, "a control byte in a message");
    last = here;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const ScenarioResult result = load_scenario(text, "fuzz.toml");
  require(result.scenario.has_value() == result.diagnostics.empty(), "a scenario beside a complaint, or neither");
  check_places(result, text);
  for (const char c : render(result.diagnostics, text))
    require(static_cast<unsigned char>(c) >= 0x20 || c == '\n', "a control byte on the terminal");
  if (!result.scenario) return 0;
  const Scenario& scenario = *result.scenario;
  require(scenario.load.rate * std::chrono::duration<double>(scenario.length).count() <= 2e7, "endless requests");
  for (const ScenarioFault& fault : scenario.faults) {
    require(fault.at < scenario.length, "a fault after the end");
    require(!fault.until || (*fault.until > fault.at && *fault.until <= scenario.length), "a fault without time");
    require(fault.where.empty() == (fault.kind == FaultKind::starve), "a fault without a place");
  }
  for (const ScenarioAct& act : scenario.acts) require(act.at < scenario.length, "an act after the end");
  return 0;
}
