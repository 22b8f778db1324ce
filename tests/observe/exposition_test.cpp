#include "proxy/observe/exposition.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "scratch.hpp"

namespace understudy::observe {
namespace {

using Format = Exposition::Format;
using Type = Exposition::Type;
using std::chrono::microseconds;
using std::chrono::milliseconds;

std::string example(Format format) {
  Exposition text(format);
  text.family("requests_total", Type::counter, "Requests answered.");
  text.sample({{"listener", "web"}, {"code_class", "2xx"}}, std::uint64_t{42});
  text.sample({{"listener", "web"}, {"code_class", "5xx"}}, std::uint64_t{0});
  text.family("start_time_seconds", Type::gauge, "Start of the process.");
  text.sample({}, 1795313645.5);
  text.family("pool_active", Type::gauge, "1 for the tier that serves.");
  text.sample({{"pool", "app"}, {"tier", "primary"}}, std::uint64_t{1});
  return text.finish();
}

TEST(Exposition, WritesPrometheusText) {
  EXPECT_EQ(example(Format::prometheus),
            "# HELP understudy_requests_total Requests answered.\n"
            "# TYPE understudy_requests_total counter\n"
            "understudy_requests_total{listener=\"web\",code_class=\"2xx\"} 42\n"
            "understudy_requests_total{listener=\"web\",code_class=\"5xx\"} 0\n"
            "# HELP understudy_start_time_seconds Start of the process.\n"
            "# TYPE understudy_start_time_seconds gauge\n"
            "understudy_start_time_seconds 1795313645.5\n"
            "# HELP understudy_pool_active 1 for the tier that serves.\n"
            "# TYPE understudy_pool_active gauge\n"
            "understudy_pool_active{pool=\"app\",tier=\"primary\"} 1\n");
}

TEST(Exposition, WritesOpenMetricsWithFamiliesUnitsAndAnEnd) {
  EXPECT_EQ(example(Format::openmetrics),
            "# HELP understudy_requests Requests answered.\n"
            "# TYPE understudy_requests counter\n"
            "understudy_requests_total{listener=\"web\",code_class=\"2xx\"} 42\n"
            "understudy_requests_total{listener=\"web\",code_class=\"5xx\"} 0\n"
            "# HELP understudy_start_time_seconds Start of the process.\n"
            "# TYPE understudy_start_time_seconds gauge\n"
            "# UNIT understudy_start_time_seconds seconds\n"
            "understudy_start_time_seconds 1795313645.5\n"
            "# HELP understudy_pool_active 1 for the tier that serves.\n"
            "# TYPE understudy_pool_active gauge\n"
            "understudy_pool_active{pool=\"app\",tier=\"primary\"} 1\n"
            "# EOF\n");
}

TEST(Exposition, WritesHistogramsCumulativelyInSeconds) {
  Histogram histogram;
  for (int i = 0; i < 3; ++i) histogram.record(microseconds(50));
  histogram.record(milliseconds(3));
  histogram.record(std::chrono::seconds(100));
  HistogramCounts counts;
  histogram.add_to(counts);
  Exposition text(Format::prometheus);
  text.family("request_duration_seconds", Type::histogram, "Duration.");
  text.histogram({{"listener", "web"}}, counts);
  const std::string name = "understudy_request_duration_seconds_bucket{listener=\"web\",le=\"";
  EXPECT_EQ(text.finish(),
            "# HELP understudy_request_duration_seconds Duration.\n"
            "# TYPE understudy_request_duration_seconds histogram\n" +
                name + "0.0001\"} 3\n" + name + "0.00025\"} 3\n" + name + "0.0005\"} 3\n" + name + "0.001\"} 3\n" +
                name + "0.0025\"} 3\n" + name + "0.005\"} 4\n" + name + "0.01\"} 4\n" + name + "0.025\"} 4\n" + name +
                "0.05\"} 4\n" + name + "0.1\"} 4\n" + name + "0.25\"} 4\n" + name + "0.5\"} 4\n" + name + "1.0\"} 4\n" +
                name + "2.5\"} 4\n" + name + "5.0\"} 4\n" + name + "10.0\"} 4\n" + name + "30.0\"} 4\n" + name +
                "60.0\"} 4\n" + name +
                "+Inf\"} 5\n"
                "understudy_request_duration_seconds_sum{listener=\"web\"} 100.00315\n"
                "understudy_request_duration_seconds_count{listener=\"web\"} 5\n");
}

TEST(Exposition, NeverCountsAValueUnderABoundThatItExceeds) {
  // For every bucket of ours: a value at its lower end must not appear below its size, and must appear
  // by 1.25 times it.
  for (std::size_t bucket = 1; bucket + 1 < kBuckets; ++bucket) {
    const std::uint64_t us = bucket_bound(bucket - 1);
    HistogramCounts counts;
    counts.buckets[bucket] = 1;
    Exposition text(Format::prometheus);
    text.family("x_seconds", Type::histogram, "x");
    text.histogram({}, counts);
    for (const std::string& line : testing::lines_in(text.finish())) {
      const std::size_t le = line.find("le=\"");
      if (le == std::string::npos || line.find("+Inf") != std::string::npos) continue;
      const double bound_us = std::stod(line.substr(le + 4)) * 1e6;
      const bool counted = line.ends_with("} 1");
      if (bound_us < static_cast<double>(us)) {
        EXPECT_FALSE(counted) << us << ": " << line;
      }
      if (bound_us >= static_cast<double>(us) * 1.25) {
        EXPECT_TRUE(counted) << us << ": " << line;
      }
    }
  }
}

TEST(Exposition, EscapesLabelsAndHelp) {
  for (const Format format : {Format::prometheus, Format::openmetrics}) {
    Exposition text(format);
    text.family("x", Type::gauge, "say \"a\\b\"\nnext");
    text.sample({{"pool", "a\"b\\c\nd\xFF\xC3\xA9"}}, std::uint64_t{1});
    const auto lines = testing::lines_in(text.finish());
    EXPECT_EQ(lines.at(0), format == Format::prometheus ? "# HELP understudy_x say \"a\\\\b\"\\nnext"
                                                        : "# HELP understudy_x say \\\"a\\\\b\\\"\\nnext");
    EXPECT_EQ(lines.at(2), "understudy_x{pool=\"a\\\"b\\\\c\\nd\\\\xFF\xC3\xA9\"} 1");
  }
}

TEST(Exposition, WritesSpecialNumbers) {
  Exposition text(Format::prometheus);
  text.family("x", Type::gauge, "x");
  text.sample({}, std::numeric_limits<double>::infinity());
  text.sample({}, -std::numeric_limits<double>::infinity());
  text.sample({}, std::nan(""));
  text.sample({}, 0.1);
  text.sample({}, std::numeric_limits<std::uint64_t>::max());
  const auto lines = testing::lines_in(text.finish());
  EXPECT_EQ(lines.at(2), "understudy_x +Inf");
  EXPECT_EQ(lines.at(3), "understudy_x -Inf");
  EXPECT_EQ(lines.at(4), "understudy_x NaN");
  EXPECT_EQ(lines.at(5), "understudy_x 0.1");
  EXPECT_EQ(lines.at(6), "understudy_x 18446744073709551615");
}

TEST(Exposition, BeginsAFamilyOnce) {
  Exposition text(Format::prometheus);
  text.family("x_total", Type::counter, "x");
  text.sample({{"a", "1"}}, std::uint64_t{1});
  text.family("x_total", Type::counter, "x");
  text.sample({{"a", "2"}}, std::uint64_t{1});
  EXPECT_EQ(testing::lines_in(text.finish()).size(), 4U);
}

TEST(Exposition, NegotiatesOnAccept) {
  const std::vector<std::pair<std::string, Format>> cases{
      {"", Format::prometheus},
      {"*/*", Format::prometheus},
      {"text/html,application/xhtml+xml,*/*;q=0.8", Format::prometheus},
      {"text/plain", Format::prometheus},
      {"application/openmetrics-text", Format::openmetrics},
      {"Application/OpenMetrics-Text; Version=1.0.0", Format::openmetrics},
      {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
       "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
       Format::openmetrics},
      {"application/openmetrics-text;version=0.0.1", Format::prometheus},
      {"application/openmetrics-text;version=1.0.0;q=0.2, text/plain;q=0.9", Format::prometheus},
      {"application/openmetrics-text;q=0", Format::prometheus},
      {"application/openmetrics-text;q=nonsense", Format::prometheus},
      {"application/openmetrics-text;q=0.5,*/*;q=0.1", Format::openmetrics},
      {",,;;=,", Format::prometheus}};
  for (const auto& [accept, format] : cases) EXPECT_EQ(Exposition::negotiate(accept), format) << accept;
  EXPECT_EQ(Exposition::content_type(Format::prometheus), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(Exposition::content_type(Format::openmetrics),
            "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

TEST(Exposition, PassesPromtool) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) GTEST_SKIP() << "promtool is not installed";
  testing::ScratchFolder folder;
  const std::string path = folder / "metrics";
  Histogram histogram;
  histogram.record(milliseconds(3));
  HistogramCounts counts;
  histogram.add_to(counts);
  Exposition text(Format::prometheus);
  text.family("requests_total", Type::counter, "Requests answered.");
  text.sample({{"listener", "we\"ird\\\n"}}, std::uint64_t{42});
  text.family("request_duration_seconds", Type::histogram, "Duration.");
  text.histogram({{"listener", "web"}}, counts);
  std::ofstream(path) << text.finish();
  EXPECT_EQ(std::system(("promtool check metrics < " + path).c_str()), 0);
}

}  // namespace
}  // namespace understudy::observe
