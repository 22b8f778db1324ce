#include "config/units.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace understudy::config {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

struct DurationCase {
  const char* text;
  milliseconds value;
  const char* printed;
};

TEST(Duration, MeansTheSumOfItsParts) {
  const DurationCase cases[] = {
      {"0s", 0ms, "0s"},
      {"0ms", 0ms, "0s"},
      {"1ms", 1ms, "1ms"},
      {"500ms", 500ms, "500ms"},
      {"2s", 2s, "2s"},
      {"1m30s", 90s, "1m30s"},
      {"90s", 90s, "1m30s"},
      {"1h", 1h, "1h"},
      {"60m", 60min, "1h"},
      {"7d", 168h, "7d"},
      {"1d2h3m4s5ms", 93'784'005ms, "1d2h3m4s5ms"},
      {"1500ms", 1500ms, "1s500ms"},
      {"007s", 7s, "7s"},
  };
  for (const auto& [text, value, printed] : cases) {
    const auto parsed = parse_duration(text, nullptr);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, value) << text;
    EXPECT_EQ(format_duration(value), printed);
    EXPECT_EQ(parse_duration(format_duration(value), nullptr), value) << text;
  }
}

struct RefusedCase {
  const char* text;
  const char* problem;
  const char* remedy;
};

TEST(Duration, SaysWhatIsWrongAndHowToMendIt) {
  const RefusedCase cases[] = {
      {"", "is empty", "write a duration such as \"1m30s\""},
      {"2", "needs a unit", "write \"2s\" or \"2ms\""},
      {"1m30", "needs a unit", "write \"1m30s\" or \"1m30ms\""},
      {"0", "needs a unit", "write \"0s\", or \"none\" where no limit is meant"},
      {"2x", "has an unknown unit 'x'", "units are ms, s, m, h, d"},
      {"2S", "has an unknown unit 'S'", "units are ms, s, m, h, d"},
      {"2sec", "has an unknown unit 'sec'", "units are ms, s, m, h, d"},
      {"1s1m", "has its units out of order", "write the largest unit first, each once"},
      {"1s1s", "has its units out of order", "write the largest unit first, each once"},
      {"-1s", "can't be negative", ""},
      {"1.5s", "has a fraction", "write whole numbers with a smaller unit, such as \"1m30s\""},
      {"1 s", "has a space in it", "write it without spaces, such as \"1m30s\""},
      {" 1s", "has a space in it", "write it without spaces, such as \"1m30s\""},
      {"s", "is not a duration", "write it as \"1m30s\""},
      {"1s-", "is not a duration", "write it as \"1m30s\""},
      {"+1s", "is not a duration", "write it as \"1m30s\""},
      {"18446744073709551616ms", "is too large", ""},
      {"9223372036854775807s", "is too large", ""},
      {"9223372036854775808ms", "is too large", ""},
      {"106751991168d", "is too large", ""},
      {"106751991167d9223372036854775807ms", "is too large", ""},
  };
  for (const auto& [text, problem, remedy] : cases) {
    UnitError error;
    EXPECT_FALSE(parse_duration(text, &error)) << text;
    EXPECT_EQ(error.problem, problem) << text;
    EXPECT_EQ(error.remedy, remedy) << text;
  }
}

TEST(Duration, TakesTheLargestValueThereIs) {
  EXPECT_EQ(parse_duration("9223372036854775807ms", nullptr), milliseconds::max());
  EXPECT_EQ(parse_duration(format_duration(milliseconds::max()), nullptr), milliseconds::max());
}

TEST(Size, TellsPowersOfTwoFromPowersOfTen) {
  const std::pair<const char*, std::uint64_t> cases[] = {
      {"0B", 0},
      {"1B", 1},
      {"1kB", 1000},
      {"1KiB", 1024},
      {"10MB", 10'000'000},
      {"10MiB", 10'485'760},
      {"1GB", 1'000'000'000},
      {"1GiB", 1'073'741'824},
      {"2TB", 2'000'000'000'000},
      {"2TiB", 2'199'023'255'552},
      {"8388607TiB", 9'223'370'937'343'148'032U},
      {"1500B", 1500},
      {"1536B", 1536},
  };
  for (const auto& [text, value] : cases) {
    const auto parsed = parse_size(text, nullptr);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, value) << text;
    EXPECT_EQ(parse_size(format_size(value), nullptr), value) << format_size(value);
  }
  EXPECT_EQ(format_size(16384), "16KiB");
  EXPECT_EQ(format_size(1'000'000), "1MB");
  EXPECT_EQ(format_size(1'000'001), "1000001B");
}

TEST(Size, SaysWhatIsWrongAndHowToMendIt) {
  const RefusedCase cases[] = {
      {"", "is empty", "write a size such as \"16KiB\""},
      {"16384", "needs a unit", "write \"16384B\" or \"16384KiB\""},
      {"8kb", "has an unknown unit 'kb'", "did you mean 'kB'?"},
      {"8kib", "has an unknown unit 'kib'", "did you mean 'KiB'?"},
      {"8K", "has an unknown unit 'K'", "units are B, kB, KiB, MB, MiB, GB, GiB, TB, TiB"},
      {"1.5MiB", "has a fraction", "write whole numbers with a smaller unit, such as \"16KiB\""},
      {"-1B", "can't be negative", ""},
      {"1 KiB", "has a space in it", "write it without spaces, such as \"16KiB\""},
      {"8388608TiB", "is too large", ""},
      {"99999999999999999999B", "is too large", ""},
      {"1KiB1B", "is not a size", "write it as \"16KiB\""},
      {"none", "is not a size", "write it as \"16KiB\""},
  };
  for (const auto& [text, problem, remedy] : cases) {
    UnitError error;
    EXPECT_FALSE(parse_size(text, &error)) << text;
    EXPECT_EQ(error.problem, problem) << text;
    EXPECT_EQ(error.remedy, remedy) << text;
  }
}

TEST(ByteRate, IsASizePerSecond) {
  EXPECT_EQ(parse_byte_rate("240B/s", nullptr), 240U);
  EXPECT_EQ(parse_byte_rate("10KiB/s", nullptr), 10'240U);
  EXPECT_EQ(format_byte_rate(10'240), "10KiB/s");
  for (const char* text : {"", "/s", "240B", "240/s", "240B/m", "B/s", "240B/s ", "240 B/s"}) {
    EXPECT_FALSE(parse_byte_rate(text, nullptr)) << text;
  }
}

TEST(Rate, IsPerSecondWhateverItsUnit) {
  EXPECT_EQ(parse_rate("50/s", nullptr), 50.0);
  EXPECT_EQ(parse_rate("2.5/s", nullptr), 2.5);
  EXPECT_EQ(parse_rate("30/m", nullptr), 0.5);
  EXPECT_EQ(parse_rate("3600/h", nullptr), 1.0);
  for (const char* text : {"", "50", "/s", "50/", "50/d", "-1/s", ".5/s", "5./s", "1e3/s", "inf/s", "nan/s", "0x10/s",
                           "1/s/s", "1 /s", "11111111111111111111111111111/s"}) {
    UnitError error;
    EXPECT_FALSE(parse_rate(text, &error)) << text;
    EXPECT_FALSE(error.problem.empty()) << text;
  }
}

TEST(Share, IsAPartOfOne) {
  EXPECT_EQ(parse_share("5%", nullptr), 0.05);
  EXPECT_EQ(parse_share("0%", nullptr), 0.0);
  EXPECT_EQ(parse_share("12.5%", nullptr), 0.125);
  EXPECT_EQ(parse_share("100%", nullptr), 1.0);
  for (const char* text :
       {"", "5", "%", "0.05", "-5%", "5 %", "5%%", "1e1%", "1.2.3%", "0.1234567%", "1111111111111111%"})
    EXPECT_FALSE(parse_share(text, nullptr)) << text;
}

// What is shown must load to the very same value, or a round trip would drift.
TEST(Printed, ReadsBackExactly) {
  for (const double value : {0.0, 0.05, 0.1, 0.2, 0.3, 0.29, 0.07, 0.333333, 0.5, 0.999, 1.0}) {
    EXPECT_EQ(parse_share(format_share(value), nullptr), value) << format_share(value);
    EXPECT_EQ(parse_rate(format_rate(value), nullptr), value) << format_rate(value);
  }
  EXPECT_EQ(format_share(0.2), "20%");
  EXPECT_EQ(format_share(0.07), "7%");
  EXPECT_EQ(format_rate(10), "10/s");
  EXPECT_EQ(format_rate(0.5), "0.5/s");
  for (const char* text : {"20/m", "1/h", "0.000001/h", "999999.999999/m", "7/m"}) {
    EXPECT_EQ(format_rate(*parse_rate(text, nullptr)), text);
  }
  for (const char* number : {"999999999999999", "999999999.999999", "999999930765477", "123456789012345"}) {
    EXPECT_EQ(format_share(*parse_share(std::string(number) + "%", nullptr)), std::string(number) + "%");
    for (const char* unit : {"/s", "/m", "/h"}) {
      const auto rate = parse_rate(number + std::string(unit), nullptr);
      EXPECT_EQ(parse_rate(format_rate(*rate), nullptr), rate) << number << unit;
    }
  }
  for (int i = 0; i <= 10'000; ++i) {
    const std::string text = std::to_string(i / 100) + "." + (i % 100 < 10 ? "0" : "") + std::to_string(i % 100) + "%";
    const double share = *parse_share(text, nullptr);
    ASSERT_EQ(parse_share(format_share(share), nullptr), share) << text;
    ASSERT_LE(format_share(share).size(), text.size()) << format_share(share);
  }
}

}  // namespace
}  // namespace understudy::config
