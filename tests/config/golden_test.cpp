// The exact words of every complaint: cases/NAME.toml is loaded, what is printed must be NAME.expected. After
// an intended change run with UNDERSTUDY_REGENERATE=1 and read the diff.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/config/support.hpp"
#include "tests/support/source_dir.hpp"

namespace understudy::config {
namespace {

const std::string folder = std::string(understudy::support::source_dir()) + "/tests/config/cases";

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".toml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, SaysExactlyThis) {
  const std::string text = read_all(folder + "/" + GetParam() + ".toml");
  const std::string expected_path = folder + "/" + GetParam() + ".expected";
  const LoadResult result = load_text(text);
  const std::string printed = render(result.diagnostics, text);
  if (regenerating()) std::ofstream(expected_path, std::ios::binary) << printed;
  EXPECT_EQ(printed, read_all(expected_path));
  EXPECT_FALSE(printed.empty()) << "a case without a complaint belongs in good/";
}

// What an editor or a script relies on, whatever the words are.
TEST_P(Golden, PlacesEveryComplaintInsideTheFile) {
  const std::string text = read_all(folder + "/" + GetParam() + ".toml");
  const LoadResult result = load_text(text);
  const auto lines = static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  std::pair<std::uint32_t, std::uint32_t> last{0, 0};
  bool failed = false;
  for (const Diagnostic& diagnostic : result.diagnostics) {
    const std::pair<std::uint32_t, std::uint32_t> here{diagnostic.line, diagnostic.column};
    EXPECT_LE(last, here) << "not sorted by position";
    EXPECT_LE(diagnostic.line, lines);
    EXPECT_EQ(diagnostic.line == 0, diagnostic.column == 0);
    EXPECT_FALSE(diagnostic.message.empty());
    failed = failed || diagnostic.severity == Severity::error;
    last = here;
  }
  EXPECT_EQ(result.config.has_value(), !failed);
}

TEST_P(Golden, NeverPrintsASecret) {
  const std::string text = read_all(folder + "/" + GetParam() + ".toml");
  const LoadResult result = load_text(text);
  for (const std::string& output :
       {render(result.diagnostics, text), render_json(result.diagnostics), show(result, true)}) {
    EXPECT_EQ(output.find("canary"), std::string::npos);
    EXPECT_EQ(output.find("hunter2"), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, testing::ValuesIn(case_names()), [](const auto& one) { return one.param; });

TEST(GoldenCases, AreManyAndNoneIsLeftOver) {
  const auto names = case_names();
  EXPECT_GE(names.size(), 60U);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".expected") continue;
    EXPECT_TRUE(std::binary_search(names.begin(), names.end(), entry.path().stem().string())) << entry.path();
  }
}

}  // namespace
}  // namespace understudy::config
