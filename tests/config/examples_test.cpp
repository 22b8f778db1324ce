// The configurations of deploy/examples load as they stand, without a complaint.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "config/document.hpp"
#include "tests/config/json_schema.hpp"
#include "tests/config/support.hpp"
#include "tests/support/source_dir.hpp"

namespace understudy::config {
namespace {

using namespace std::chrono_literals;

const std::string folder = std::string(understudy::support::source_dir()) + "/deploy/examples";

std::vector<std::string> example_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

class Example : public testing::TestWithParam<std::string> {};

TEST_P(Example, LoadsWithoutAComplaint) {
  const std::string text = read_all(folder + "/" + GetParam() + ".toml");
  const LoadResult result = load_text(text);
  EXPECT_EQ(render(result.diagnostics, text), "");
  EXPECT_TRUE(result.config);
  Diagnostic failure;
  const auto document = parse_document(text, GetParam(), failure);
  ASSERT_TRUE(document);
  EXPECT_EQ(JsonSchema(json_schema()).complain(*document), "");
}

INSTANTIATE_TEST_SUITE_P(Files, Example, testing::ValuesIn(example_names()), [](const auto& one) { return one.param; });

// The configuration that every published number of failover stands on.
TEST(FailoverExample, SaysWhatIsMeasuredWithIt) {
  const LoadResult result = load_text(read_all(folder + "/failover.toml"));
  ASSERT_TRUE(result.config);
  const PoolConfig& pool = result.config->pools.at(0);
  EXPECT_EQ(pool.tiers_mode, TiersMode::shared);
  ASSERT_EQ(pool.tiers.size(), 2U);
  EXPECT_EQ(pool.tiers[0].endpoints.size(), 2U);
  EXPECT_EQ(pool.tiers[1].endpoints.size(), 2U);
  EXPECT_EQ(pool.connect_timeout, 1s);
  EXPECT_EQ(pool.response_timeout, 2500ms);
  EXPECT_EQ(pool.check.interval, 1s);
  EXPECT_EQ(pool.degraded.latency_p95, 500ms);
  EXPECT_EQ(pool.degraded.error_rate, 0.05);
  EXPECT_EQ(pool.degraded.websocket_open_p95, 500ms);
  EXPECT_EQ(pool.failover.failback, FailbackMode::after);
  EXPECT_EQ(pool.failover.failback_after, 5s);
}

}  // namespace
}  // namespace understudy::config
