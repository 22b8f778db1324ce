// The exact words of every complaint about a scenario: scenario_cases/NAME.toml is loaded, what is printed must be
// NAME.expected. After an intended change run with UNDERSTUDY_REGENERATE=1 and read the diff.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "config/scenario.hpp"
#include "tests/config/support.hpp"
#include "tests/support/source_dir.hpp"

namespace understudy::config {
namespace {

const std::string folder = std::string(understudy::support::source_dir()) + "/tests/config/scenario_cases";

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".toml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class ScenarioGolden : public testing::TestWithParam<std::string> {};

TEST_P(ScenarioGolden, SaysExactlyThis) {
  const std::string text = read_all(folder + "/" + GetParam() + ".toml");
  const std::string expected_path = folder + "/" + GetParam() + ".expected";
  const ScenarioResult result = load_scenario(text, "drill.toml");
  const std::string printed = render(result.diagnostics, text);
  if (regenerating()) std::ofstream(expected_path, std::ios::binary) << printed;
  EXPECT_EQ(printed, read_all(expected_path));
  EXPECT_FALSE(result.scenario) << "a case without a complaint belongs in scenario_good/";
}

TEST_P(ScenarioGolden, PlacesEveryComplaintInsideTheFile) {
  const std::string text = read_all(folder + "/" + GetParam() + ".toml");
  const ScenarioResult result = load_scenario(text, "drill.toml");
  const auto lines = static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  std::pair<std::uint32_t, std::uint32_t> last{0, 0};
  ASSERT_FALSE(result.diagnostics.empty());
  for (const Diagnostic& diagnostic : result.diagnostics) {
    const std::pair<std::uint32_t, std::uint32_t> here{diagnostic.line, diagnostic.column};
    EXPECT_LE(last, here) << "not sorted by position";
    EXPECT_LE(diagnostic.line, lines);
    EXPECT_EQ(diagnostic.line == 0, diagnostic.column == 0);
    EXPECT_FALSE(diagnostic.message.empty());
    EXPECT_EQ(diagnostic.severity, Severity::error);
    last = here;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, ScenarioGolden, testing::ValuesIn(case_names()),
                         [](const auto& one) { return one.param; });

TEST(ScenarioGoldenCases, AreManyAndNoneIsLeftOver) {
  const auto names = case_names();
  EXPECT_GE(names.size(), 25U);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".expected") continue;
    EXPECT_TRUE(std::binary_search(names.begin(), names.end(), entry.path().stem().string())) << entry.path();
  }
}

}  // namespace
}  // namespace understudy::config
