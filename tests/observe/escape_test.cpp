#include "proxy/observe/escape.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace understudy::observe {
namespace {

TEST(Utf8At, AcceptsExactlyWellFormedSequences) {
  struct Case {
    std::string bytes;
    std::size_t length;
    char32_t code_point;
  };
  const std::vector<Case> cases{{"a", 1, U'a'},
                                {"\xC2\x80", 2, 0x80},
                                {"\xDF\xBF", 2, 0x7FF},
                                {"\xE0\xA0\x80", 3, 0x800},
                                {"\xED\x9F\xBF", 3, 0xD7FF},
                                {"\xEE\x80\x80", 3, 0xE000},
                                {"\xEF\xBF\xBF", 3, 0xFFFF},
                                {"\xF0\x90\x80\x80", 4, 0x10000},
                                {"\xF4\x8F\xBF\xBF", 4, 0x10FFFF},
                                {"\x80", 0, 0},
                                {"\xC1\xBF", 0, 0},
                                {"\xE0\x9F\xBF", 0, 0},
                                {"\xED\xA0\x80", 0, 0},
                                {"\xF0\x8F\xBF\xBF", 0, 0},
                                {"\xF4\x90\x80\x80", 0, 0},
                                {"\xF5\x80\x80\x80", 0, 0},
                                {"\xFF", 0, 0},
                                {"\xC2", 0, 0},
                                {"\xE2\x82", 0, 0},
                                {"\xE2(\xA1", 0, 0}};
  for (const Case& c : cases) {
    EXPECT_EQ(utf8_at(c.bytes, 0).length, c.length) << ::testing::PrintToString(c.bytes);
    EXPECT_EQ(utf8_at(c.bytes, 0).code_point, c.code_point) << ::testing::PrintToString(c.bytes);
  }
}

TEST(WithoutCutTail, DropsOnlyASequenceThatMissesItsEnd) {
  const std::vector<std::pair<std::string, std::string>> cases{{"", ""},
                                                               {"abc", "abc"},
                                                               {"ab\xC3", "ab"},
                                                               {"ab\xE2\x82", "ab"},
                                                               {"ab\xF0\x9F\x90", "ab"},
                                                               {"ab\xC3\xA9", "ab\xC3\xA9"},
                                                               {"ab\xE2\x82\xAC", "ab\xE2\x82\xAC"},
                                                               {"\xF0\x9F\x90\x98", "\xF0\x9F\x90\x98"},
                                                               {"ab\xFF", "ab\xFF"},
                                                               {"ab\x80\x80\x80\x80", "ab\x80\x80\x80\x80"},
                                                               {"\x80", "\x80"}};
  for (const auto& [text, kept] : cases) EXPECT_EQ(without_cut_tail(text), kept) << ::testing::PrintToString(text);
}

TEST(EventText, KeepsReadableTextAndDefusesTheRest) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"pool app: épreuve \xE2\x9C\x93", "pool app: épreuve \xE2\x9C\x93"},
      {"one\ntwo", "one\\ntwo"},
      {"a\tb", "a\\tb"},
      {"a\rb", "a\\x0Db"},
      {"\x1B[2J", "\\x1B[2J"},
      {"\xC2\x9B"
       "2J",
       "\\xC2\\x9B"
       "2J"},
      {"\xE2\x80\xA8", "\\xE2\\x80\\xA8"},
      {"\xFF", "\\xFF"},
      {std::string("a\0b", 3), "a\\x00b"}};
  for (const auto& [text, written] : cases) {
    std::string out;
    append_event_text(out, text);
    EXPECT_EQ(out, written);
  }
}

std::string clean(std::string_view s) {
  std::string out;
  append_clean_text(out, s);
  return out;
}
std::string utf8(std::string_view s) {
  std::string out;
  append_utf8(out, s);
  return out;
}
TEST(CleanText, HasAQuestionMarkForEachCharacterThatIsUnrulyOrNone) {
  EXPECT_EQ(clean("M\xc3\xbcller, 100 %"), "M\xc3\xbcller, 100 %");
  EXPECT_EQ(clean("a\r\n\x1b[31m\x7f"), "a???[31m?");
  EXPECT_EQ(clean("\xc2\x9b|\xe2\x80\xae|\xe2\x81\xa6|\xff|\xe2\x80"), "?|?|?|?|??");
}
TEST(Utf8Text, LosesOnlyBytesThatAreNone) {
  EXPECT_EQ(utf8("{\"a\":\"\xc3\xbc\xff\xe2\x80\"}\n"), "{\"a\":\"\xc3\xbc\x3f\x3f\x3f\"}\n");
}

TEST(EscapedText, NeverHoldsAByteThatBreaksALine) {
  // Every pair of bytes through every writer.
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text{static_cast<char>(first), static_cast<char>(second)};
      std::string json, combined, event;
      append_json_text(json, text);
      append_combined_text(combined, text);
      append_event_text(event, text);
      for (const std::string* out : {&json, &combined, &event}) {
        for (std::size_t i = 0; i < out->size(); ++i) {
          ASSERT_GE(static_cast<unsigned char>((*out)[i]), 0x20) << first << ' ' << second;
        }
        for (std::size_t i = 0; i < out->size(); i += utf8_at(*out, i).length) {
          ASSERT_NE(utf8_at(*out, i).length, 0U) << "not UTF-8 for " << first << ' ' << second;
        }
      }
    }
  }
}

}  // namespace
}  // namespace understudy::observe
