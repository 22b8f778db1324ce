// How problems are printed, whatever they are.
#include <gtest/gtest.h>

#include "config/text.hpp"
#include "tests/config/support.hpp"

namespace understudy::config {
namespace {

Diagnostic at(std::uint32_t line, std::uint32_t column, std::uint32_t width = 1) {
  return {Severity::error, "u.toml", line, column, "wrong", "mend it", width};
}

TEST(Render, PutsTheCaretUnderTheColumn) {
  EXPECT_EQ(render({at(2, 3, 2)}, "one\nabcdef\n"), "u.toml:2:3: error: wrong\n    2 | abcdef\n      |   ^^ mend it\n");
}

TEST(Render, CountsCodePoints) {
  EXPECT_EQ(render({at(1, 3)}, "äöü"), "u.toml:1:3: error: wrong\n    1 | äöü\n      |   ^ mend it\n");
}

TEST(Render, TurnsTabsIntoSpaces) {
  EXPECT_EQ(render({at(1, 2)}, "\tx"), "u.toml:1:2: error: wrong\n    1 |  x\n      |  ^ mend it\n");
}

TEST(Render, SkipsAByteOrderMark) {
  EXPECT_EQ(render({at(1, 1)}, "\xef\xbb\xbfx"), "u.toml:1:1: error: wrong\n    1 | x\n      | ^ mend it\n");
}

TEST(Render, NeverSendsControlBytesToATerminal) {
  const std::string text = "a\x1b[31m\x07\xc2\x9b\xff";
  const std::string printed = render({at(1, 1)}, text);
  for (const char c : printed) EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 || c == '\n');
  EXPECT_EQ(printed.find("\xc2\x9b"), std::string::npos);
}

TEST(Render, SurvivesPlacesThatAreNotThere) {
  EXPECT_EQ(render({at(9, 9, 99)}, "x\n"), "u.toml:9:9: error: wrong\n    9 | \n      | ^ mend it\n");
  EXPECT_EQ(render({at(1, 500, 4'000'000'000U)}, "x"), "u.toml:1:500: error: wrong\n    1 | \n      | ^ mend it\n");
  EXPECT_EQ(render({at(0, 0)}, ""), "u.toml: error: wrong\n     | mend it\n");
  EXPECT_EQ(render({}, "x"), "");
}

TEST(Render, ShowsAWindowOfALongLine) {
  const std::string line = std::string(5000, 'a') + "B" + std::string(5000, 'c');
  const std::string printed = render({at(1, 5001)}, line);
  EXPECT_LT(printed.size(), 400U);
  const std::size_t caret = printed.find('^') - printed.rfind('\n', printed.find('^')) - 1;
  const std::size_t start = printed.find("    1 | ");
  EXPECT_EQ(printed[start + caret], 'B');
}

TEST(Render, KeepsMarginsForLongLineNumbers) {
  const std::string text(200'000, '\n');
  EXPECT_EQ(render({at(123'456, 1)}, text), "u.toml:123456:1: error: wrong\n123456 | \n       | ^ mend it\n");
}

TEST(Render, StopsAfterTwenty) {
  const std::string printed = render(std::vector<Diagnostic>(23, at(1, 1)), "x");
  EXPECT_NE(printed.find("\nand 3 more\n"), std::string::npos);
}

TEST(Render, HidesTokens) {
  for (const char* line : {"token = \"hunter2\"", "admin = { token = \"hunter2\" }", "admin.token=\"hunter2\"",
                           "\"token\" = \"hunter2\"", "token = 'hunter2"}) {
    EXPECT_EQ(render({at(1, 1)}, line).find("hunter2"), std::string::npos) << line;
  }
}

TEST(RenderJson, IsOneObjectForEachProblem) {
  EXPECT_EQ(render_json({}), "[]\n");
  Diagnostic warning = at(2, 3, 4);
  warning.severity = Severity::warning;
  warning.message = "a \"quoted\"\n\x01 \xff";
  EXPECT_EQ(render_json({at(1, 2), warning}),
            "[\n  {\"severity\": \"error\", \"file\": \"u.toml\", \"line\": 1, \"column\": 2, \"width\": 1, "
            "\"message\": \"wrong\", \"hint\": \"mend it\"},\n"
            "  {\"severity\": \"warning\", \"file\": \"u.toml\", \"line\": 2, \"column\": 3, \"width\": 4, "
            "\"message\": \"a \\\"quoted\\\"\\n\\u0001 \xef\xbf\xbd\", \"hint\": \"mend it\"}\n]\n");
}

TEST(Text, KnowsUtf8) {
  for (const char* good : {"", "a", "ä", "日本", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xff", "\xe6\x97"})
    EXPECT_FALSE(is_utf8(bad));
}

}  // namespace
}  // namespace understudy::config
