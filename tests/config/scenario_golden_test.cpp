// The exact words of every complaint about a scenario.
#include "config/scenario.hpp"
#include "tests/config/golden.hpp"

namespace understudy::config {
namespace {

const GoldenFolder folder("scenario_cases");

class ScenarioGolden : public testing::TestWithParam<std::string> {};

TEST_P(ScenarioGolden, SaysExactlyThis) {
  const std::string text = folder.text(GetParam());
  const ScenarioResult result = load_scenario(text, "drill.toml");
  folder.expect_printed(GetParam(), render(result.diagnostics, text));
  EXPECT_FALSE(result.scenario);
}

TEST_P(ScenarioGolden, PlacesEveryComplaintInsideTheFile) {
  const std::string text = folder.text(GetParam());
  const ScenarioResult result = load_scenario(text, "drill.toml");
  expect_placed(result.diagnostics, text);
  EXPECT_TRUE(holds_error(result.diagnostics));
}

INSTANTIATE_TEST_SUITE_P(Cases, ScenarioGolden, testing::ValuesIn(folder.names()),
                         [](const auto& one) { return one.param; });

TEST(ScenarioGoldenCases, AreManyAndNoneIsLeftOver) { folder.expect_many_and_none_left_over(25); }

}  // namespace
}  // namespace understudy::config
