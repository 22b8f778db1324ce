// Chunked bodies, strict at every byte: sizes, extensions, line ends, trailers. And the other framings.
#include <gtest/gtest.h>

#include "tests/conformance/codec_rows.hpp"

namespace understudy::http::rows {
namespace {

struct Row {
  const char* name;
  std::string raw;
  std::string payload;
  std::string end;        // "done", "more" or "error:KIND"
  std::size_t after = 0;  // bytes behind the body
  std::uint64_t max = UINT64_MAX;
};

const std::string kNul(1, '\0');
const std::string kEnd = "0\r\n\r\n";

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string("row: ") + row.name + "\n" + printable(row.raw));
    for (const auto& way : cuts(row.raw.size())) {
      const BodyVerdict verdict = feed_body(row.raw, way, BodyDecoder::make(Framing::chunked, 0, row.max));
      ASSERT_EQ(verdict.end, row.end) << cut_text(way);
      ASSERT_EQ(verdict.payload, row.payload) << cut_text(way);
      if (verdict.end == "done") {
        ASSERT_EQ(verdict.consumed, row.raw.size() - row.after) << cut_text(way);
      }
    }
  }
}

TEST(ChunkedConformance, Sizes) {
  check({
      {"empty body", kEnd, "", "done"},
      {"one chunk", "3\r\nabc\r\n" + kEnd, "abc", "done"},
      {"two chunks", "3\r\nabc\r\n2\r\nde\r\n" + kEnd, "abcde", "done"},
      {"hex in both cases", "a\r\n0123456789\r\nB\r\n0123456789a\r\n" + kEnd, "01234567890123456789a", "done"},
      {"zeros in front", "0003\r\nabc\r\n" + kEnd, "abc", "done"},
      {"sixteen digits", "0000000000000003\r\nabc\r\n" + kEnd, "abc", "done"},
      {"seventeen digits", "00000000000000003\r\nabc\r\n" + kEnd, "", "error:bad_chunk_size"},
      {"last chunk of many zeros", "0000000000000000\r\n\r\n", "", "done"},
      {"bytes behind the body", "3\r\nabc\r\n" + kEnd + "GET /next", "abc", "done", 9},
      {"payload that looks like a chunk line", "5\r\n0\r\n\r\n\r\n" + kEnd, "0\r\n\r\n", "done"},
      {"2^63-1 announced", "7fffffffffffffff\r\nabc", "abc", "more"},
      {"2^63 announced", "8000000000000000\r\n", "", "error:bad_chunk_size"},
      {"2^64-1 announced", "ffffffffffffffff\r\n", "", "error:bad_chunk_size"},
      {"sum above 2^63-1", "3\r\nabc\r\n7fffffffffffffff\r\n", "abc", "error:bad_chunk_size"},
      {"empty size", "\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"extension without size", ";x\r\n", "", "error:bad_chunk_size"},
      {"minus", "-3\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"plus", "+3\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"0x", "0x3\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"no hex digit", "g\r\n", "", "error:bad_chunk_size"},
      {"underscore", "1_0\r\n", "", "error:bad_chunk_size"},
      {"space in front", " 3\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"tab in front", "\t3\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"space behind", "3 \r\nabc\r\n", "", "error:bad_chunk_size"},
      {"tab behind", "3\t\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"space before the extension", "3 ;x\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"NUL behind", "3" + kNul + "\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"vertical tab behind", "3\x0b\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"8-bit behind", "3\xa0\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"comma behind", "3,\r\nabc\r\n", "", "error:bad_chunk_size"},
      {"not chunked at all", "GET / HTTP/1.1\r\n", "", "error:bad_chunk_size"},
  });
}

TEST(ChunkedConformance, Extensions) {
  std::string many;  // each line within its limit, together above 4 KiB
  for (int i = 0; i < 20; ++i) many += "1;" + std::string(249, 'x') + "\r\na\r\n";
  std::string enough;  // 16 × 256 bytes exactly
  for (int i = 0; i < 16; ++i) enough += "1;" + std::string(255, 'x') + "\r\na\r\n";
  check({
      {"name", "3;x\r\nabc\r\n" + kEnd, "abc", "done"},
      {"name and value", "3;x=y\r\nabc\r\n" + kEnd, "abc", "done"},
      {"quoted", "3;x=\"a; b\"\r\nabc\r\n" + kEnd, "abc", "done"},
      {"blanks", "3; x\t= y \r\nabc\r\n" + kEnd, "abc", "done"},
      {"empty", "3;\r\nabc\r\n" + kEnd, "abc", "done"},
      {"on the last chunk", "0;x\r\n\r\n", "", "done"},
      {"256 bytes", "3;" + std::string(255, 'x') + "\r\nabc\r\n" + kEnd, "abc", "done"},
      {"257 bytes", "3;" + std::string(256, 'x') + "\r\nabc\r\n" + kEnd, "", "error:chunk_extension_too_long"},
      {"a mebibyte", "3;" + std::string(1 << 20, 'x'), "", "error:chunk_extension_too_long"},
      {"4 KiB in a body", enough + kEnd, std::string(16, 'a'), "done"},
      {"above 4 KiB in a body", many + kEnd, std::string(16, 'a'), "error:chunk_extension_too_long"},
      {"LF inside", "3;\nxx\r\nabc\r\n" + kEnd, "", "error:bad_line_end"},
      {"LF inside a value", "3;x=\n\r\nabc\r\n" + kEnd, "", "error:bad_line_end"},
      {"LF inside quotes", "3;x=\"\n\"\r\nabc\r\n" + kEnd, "", "error:bad_line_end"},
      {"CR inside", "3;x\ry\r\nabc\r\n" + kEnd, "", "error:bad_line_end"},
      {"NUL inside", "3;x" + kNul + "\r\nabc\r\n", "", "error:bad_chunk_extension"},
      {"control inside", "3;x\x01\r\nabc\r\n", "", "error:bad_chunk_extension"},
      {"DEL inside", "3;x\x7f\r\nabc\r\n", "", "error:bad_chunk_extension"},
      {"8-bit inside", "3;x\xff\r\nabc\r\n", "", "error:bad_chunk_extension"},
      {"the parser-disagreement case", "3;\nxx\r\nabc\r\n0\r\n\r\n", "", "error:bad_line_end"},
  });
}

TEST(ChunkedConformance, EndsOfData) {
  check({
      {"missing CRLF", "3\r\nabc0\r\n\r\n", "abc", "error:bad_chunk_end"},
      {"one byte more", "3\r\nabcd\r\n0\r\n\r\n", "abc", "error:bad_chunk_end"},
      {"two bytes more", "3\r\nabcde\r\n0\r\n\r\n", "abc", "error:bad_chunk_end"},
      {"one byte less", "3\r\nab\r\n0\r\n\r\n", "ab\r", "error:bad_chunk_end"},
      {"space for CR", "3\r\nabc \n0\r\n\r\n", "abc", "error:bad_chunk_end"},
      {"any two bytes for CRLF", "3\r\nabcXX0\r\n\r\n", "abc", "error:bad_chunk_end"},
      {"CR and another", "3\r\nabc\rX0\r\n\r\n", "abc", "error:bad_chunk_end"},
  });
}

TEST(ChunkedConformance, Trailers) {
  std::string sixty_four, sixty_five;
  for (int i = 0; i < 64; ++i) sixty_four += "X: a\r\n";
  sixty_five = sixty_four + "X: a\r\n";
  const auto body = [](const std::string& trailers) { return "3\r\nabc\r\n0\r\n" + trailers + "\r\n"; };
  const std::string full = "X: " + std::string(8192 - 7, 'a') + "\r\n";  // with the last line 8192 bytes
  check({
      {"one", body("X-Sum: 1\r\n"), "abc", "done"},
      {"X-Admin", body("X-Admin: 1\r\n"), "abc", "done"},
      {"framing fields are dropped like all", body("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n"),
       "abc", "done"},
      {"empty value", body("X:\r\n"), "abc", "done"},
      {"64 fields", body(sixty_four), "abc", "done"},
      {"65 fields", body(sixty_five), "abc", "error:trailer_too_large"},
      {"8 KiB", body(full), "abc", "done"},
      {"8 KiB and one byte", body("X: a" + full.substr(3)), "abc", "error:trailer_too_large"},
      {"endless", "0\r\nX: " + std::string(20000, 'a'), "", "error:trailer_too_large"},
      {"endless name", "0\r\n" + std::string(20000, 'a'), "", "error:trailer_too_large"},
      {"no colon", body("nonsense\r\n"), "abc", "error:bad_trailer"},
      {"empty name", body(": a\r\n"), "abc", "error:bad_trailer"},
      {"space before the colon", body("X : a\r\n"), "abc", "error:bad_trailer"},
      {"fold", body("X: a\r\n b\r\n"), "abc", "error:bad_trailer"},
      {"leading space", body(" X: a\r\n"), "abc", "error:bad_trailer"},
      {"NUL in the value", body("X: a" + kNul + "\r\n"), "abc", "error:bad_trailer"},
      {"NUL in the name", body("X" + kNul + ": a\r\n"), "abc", "error:bad_trailer"},
      {"bare CR in the value", body("X: a\rb\r\n"), "abc", "error:bad_trailer"},
      {"bare LF in the value", body("X: a\nb\r\n"), "abc", "error:bad_trailer"},
      {"another request for the end", "0\r\nGET /hidden HTTP/1.1\r\n\r\n", "", "error:bad_trailer"},
  });
}

// The families of terminator spills: every line end of a chunked body, spoilt in every way. The last byte of
// a message that "passes" anyway would be the first of a smuggled one.
TEST(ChunkedConformance, SpoiltLineEndsNeverPass) {
  struct Part {
    const char* name;
    std::string text;
  };
  const std::vector<Part> parts = {
      {"size", "3"},      {"data", "xyz"},     {"size with extension", "2;x=y"}, {"data again", "uv"},
      {"last size", "0"}, {"trailer", "X: a"}, {"second trailer", "Y: b"},       {"end", ""}};
  const std::pair<const char*, std::string> ends[] = {{"LF", "\n"},
                                                      {"CR", "\r"},
                                                      {"LFCR", "\n\r"},
                                                      {"CRCRLF", "\r\r\n"},
                                                      {"nothing", ""},
                                                      {"CR NUL", "\r" + kNul},
                                                      {"SP CRLF", " \r\n"},
                                                      {"CR SP LF", "\r \n"},
                                                      {"VT", "\x0b"},
                                                      {"CRX", "\rX"},
                                                      {"XLF", "X\n"},
                                                      {"two bytes", "XY"},
                                                      {"one byte and CRLF", "X\r\n"}};
  for (std::size_t spoilt = 0; spoilt < parts.size(); ++spoilt) {
    for (const auto& [name, end] : ends) {
      // Blanks are legal at the end of an extension and of a trailer's value; "X" then is part of it.
      const bool open_text = parts[spoilt].text.find_first_of(";:") != std::string::npos;
      if (open_text && (end == " \r\n" || end == "X\r\n")) continue;
      // Without any line end two trailers are one.
      if (parts[spoilt].text.find(':') != std::string::npos && (end.empty() || end == "XY")) continue;
      std::string raw;
      for (std::size_t i = 0; i < parts.size(); ++i) raw += parts[i].text + (i == spoilt ? end : "\r\n");
      raw += "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
      SCOPED_TRACE(std::string(parts[spoilt].name) + " ends in " + name + "\n" + printable(raw));
      const BodyVerdict whole = feed_body(raw, {raw.size()}, BodyDecoder::make(Framing::chunked, 0, UINT64_MAX));
      EXPECT_EQ(whole.end.substr(0, 6), "error:") << whole.end;
      for (const auto& way : cuts(raw.size())) {
        ASSERT_EQ(feed_body(raw, way, BodyDecoder::make(Framing::chunked, 0, UINT64_MAX)), whole) << cut_text(way);
      }
    }
  }
}

TEST(ChunkedConformance, CutInEveryStateIsNoEnd) {
  const std::string raw = "3;x\r\nabc\r\n2\r\nde\r\n0\r\nX: a\r\n\r\n";
  for (std::size_t n = 0; n < raw.size(); ++n) {
    std::string piece = raw.substr(0, n);
    BodyDecoder decoder = BodyDecoder::make(Framing::chunked, 0, UINT64_MAX);
    const DecodeResult result = decoder.decode(piece.data(), piece.size());
    EXPECT_EQ(result.error, ParseError::none) << n;
    EXPECT_FALSE(result.done) << n;
    EXPECT_EQ(result.consumed, n);
    EXPECT_FALSE(decoder.finish_at_eof()) << n;
  }
}

TEST(ChunkedConformance, BodyLimit) {
  check({
      {"exactly the limit", "3\r\nabc\r\n2\r\nde\r\n" + kEnd, "abcde", "done", 0, 5},
      {"above the limit by a later chunk", "3\r\nabc\r\n3\r\ndef\r\n" + kEnd, "abc", "error:body_too_large", 0, 5},
      {"above the limit at once, before its data", "6\r\n", "", "error:body_too_large", 0, 5},
      {"limit zero, empty body", kEnd, "", "done", 0, 0},
      {"limit zero, one byte", "1\r\na\r\n" + kEnd, "", "error:body_too_large", 0, 0},
  });
}

TEST(BodyConformance, LengthTakesItsBytesAndLeavesTheRest) {
  const std::string raw = "hello, next";
  for (const auto& way : cuts(raw.size())) {
    const BodyVerdict verdict = feed_body(raw, way, BodyDecoder::make(Framing::length, 5, UINT64_MAX));
    EXPECT_EQ(verdict.payload, "hello");
    EXPECT_EQ(verdict.end, "done");
  }
}

TEST(BodyConformance, LengthCutIsNoEnd) {
  std::string part = "hel";
  BodyDecoder decoder = BodyDecoder::make(Framing::length, 5, UINT64_MAX);
  EXPECT_EQ(decoder.remaining(), 5u);
  EXPECT_EQ(decoder.decode(part.data(), part.size()).payload, 3u);
  EXPECT_EQ(decoder.remaining(), 2u);
  EXPECT_FALSE(decoder.finish_at_eof());
}

TEST(BodyConformance, NoneAndZeroLengthAreDoneAtOnce) {
  std::string next = "GET / HTTP/1.1";
  for (BodyDecoder decoder :
       {BodyDecoder{}, BodyDecoder::make(Framing::none, 0, 0), BodyDecoder::make(Framing::length, 0, 0)}) {
    EXPECT_TRUE(decoder.done());
    const DecodeResult result = decoder.decode(next.data(), next.size());
    EXPECT_TRUE(result.done);
    EXPECT_EQ(result.consumed, 0u);
    EXPECT_TRUE(decoder.finish_at_eof());
  }
}

TEST(BodyConformance, UntilCloseEndsWithTheConnection) {
  std::string bytes = "anything 0\r\n\r\n";
  BodyDecoder decoder = BodyDecoder::make(Framing::until_close, 0, UINT64_MAX);
  const DecodeResult result = decoder.decode(bytes.data(), bytes.size());
  EXPECT_EQ(result.payload, bytes.size());
  EXPECT_FALSE(result.done);
  EXPECT_TRUE(decoder.finish_at_eof());
  EXPECT_TRUE(decoder.done());
}

TEST(BodyConformance, LimitsHoldForEveryFraming) {
  std::string bytes = "123456";
  BodyDecoder length = BodyDecoder::make(Framing::length, 6, 5);
  EXPECT_EQ(length.decode(bytes.data(), 1).error, ParseError::body_too_large);
  BodyDecoder open = BodyDecoder::make(Framing::until_close, 0, 5);
  const DecodeResult result = open.decode(bytes.data(), bytes.size());
  EXPECT_EQ(result.error, ParseError::body_too_large);
  EXPECT_EQ(result.payload, 5u);
  EXPECT_FALSE(open.finish_at_eof());
}

TEST(BodyConformance, AfterAnErrorNothingIsResynchronised) {
  std::string bad = "x\r\n", good = "0\r\n\r\n";
  BodyDecoder decoder = BodyDecoder::make(Framing::chunked, 0, UINT64_MAX);
  EXPECT_EQ(decoder.decode(bad.data(), bad.size()).error, ParseError::bad_chunk_size);
  const DecodeResult again = decoder.decode(good.data(), good.size());
  EXPECT_EQ(again.error, ParseError::bad_chunk_size);
  EXPECT_EQ(again.consumed, 0u);
  EXPECT_FALSE(again.done);
}

TEST(BodyConformance, ChunkLinesWeWriteAreReadBack) {
  for (const std::uint64_t size : {std::uint64_t{1}, std::uint64_t{15}, std::uint64_t{16}, std::uint64_t{65536}}) {
    char line[20];
    std::string raw(line, write_chunk_prefix(line, size, true));
    raw += std::string(size, 'a');
    raw.append(line, write_chunk_prefix(line, 2, false));
    raw += "bc";
    raw.append(line, write_last_chunk(line, false));
    const BodyVerdict verdict = feed_body(raw, {raw.size()}, BodyDecoder::make(Framing::chunked, 0, UINT64_MAX));
    EXPECT_EQ(verdict.end, "done");
    EXPECT_EQ(verdict.payload, std::string(size, 'a') + "bc");
    EXPECT_EQ(verdict.consumed, raw.size());
  }
  char longest[20];
  EXPECT_EQ(std::string(longest, write_chunk_prefix(longest, UINT64_MAX, false)), "\r\nffffffffffffffff\r\n");
  EXPECT_EQ(std::string(longest, write_last_chunk(longest, true)), "0\r\n\r\n");
}

}  // namespace
}  // namespace understudy::http::rows
