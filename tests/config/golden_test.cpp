// The exact words of every complaint about a configuration.
#include "tests/config/golden.hpp"

namespace understudy::config {
namespace {

const GoldenFolder folder("cases");

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, SaysExactlyThis) {
  const std::string text = folder.text(GetParam());
  folder.expect_printed(GetParam(), render(load_text(text).diagnostics, text));
}

TEST_P(Golden, PlacesEveryComplaintInsideTheFile) {
  const std::string text = folder.text(GetParam());
  const LoadResult result = load_text(text);
  expect_placed(result.diagnostics, text);
  EXPECT_EQ(result.config.has_value(), !holds_error(result.diagnostics));
}

TEST_P(Golden, NeverPrintsASecret) {
  const std::string text = folder.text(GetParam());
  const LoadResult result = load_text(text);
  for (const std::string& output :
       {render(result.diagnostics, text), render_json(result.diagnostics), show(result, true)}) {
    EXPECT_EQ(output.find("canary"), std::string::npos);
    EXPECT_EQ(output.find("hunter2"), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, testing::ValuesIn(folder.names()), [](const auto& one) { return one.param; });

TEST(GoldenCases, AreManyAndNoneIsLeftOver) { folder.expect_many_and_none_left_over(60); }

}  // namespace
}  // namespace understudy::config
