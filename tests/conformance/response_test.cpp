// Responses: bytes and what they mean, or why the proxy answers 502 in their place.
#include <gtest/gtest.h>

#include "tests/conformance/codec_rows.hpp"

namespace understudy::http::rows {
namespace {

struct Row {
  const char* name;
  std::string raw;
  std::string wanted;
  std::size_t after = 0;
  Method method = Method::get;
};

std::string ok(const std::string& lines) { return "HTTP/1.1 200 OK\r\n" + lines + "\r\n"; }
std::string of(const std::string& status, const std::string& lines) {
  return "HTTP/1.1 " + status + "\r\n" + lines + "\r\n";
}
const std::string kNul(1, '\0');

void check(const std::vector<Row>& rows, const HeadLimits& limits = {64 * 1024, 100, 0}) {
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string("row: ") + row.name + "\n" + printable(row.raw));
    for (const auto& way : cuts(row.raw.size())) {
      const Verdict verdict = feed_response(row.raw, way, row.method, limits);
      ASSERT_EQ(verdict.text, row.wanted) << cut_text(way);
      if (verdict.bytes != 0) {
        ASSERT_EQ(verdict.bytes, row.raw.size() - row.after) << cut_text(way);
      }
    }
  }
}

TEST(ResponseConformance, StatusLines) {
  const std::string plain = "length:0 keep 1.1";
  const std::string zero = "Content-Length: 0\r\n";
  check({
      {"200 OK", ok(zero), "200 OK " + plain},
      {"empty reason", of("200 ", zero), "200  " + plain},
      {"no space behind the code", of("200", zero), "200  " + plain},
      {"reason with blanks and 8-bit", of("200 A b\tc\xff", zero), "200 A b\tc\xff " + plain},
      {"unknown code", of("299 X", zero), "299 X " + plain},
      {"code above 599", of("999 X", zero), "999 X " + plain},
      {"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "200 OK length:0 close 1.0"},
      {"two digits", of("20 OK", zero), "error:bad_status_line"},
      {"four digits", of("2000 OK", zero), "error:bad_status_line"},
      {"letters", of("2OO OK", zero), "error:bad_status_line"},
      {"below 100", of("099 X", zero), "error:bad_status_line"},
      {"negative", of("-20 X", zero), "error:bad_status_line"},
      {"two spaces before the code", of(" 200 OK", zero), "error:bad_status_line"},
      {"tab before the code", "HTTP/1.1\t200 OK\r\n\r\n", "error:bad_status_line"},
      {"tab behind the code", "HTTP/1.1 200\tOK\r\n\r\n", "error:bad_status_line"},
      {"no code", "HTTP/1.1\r\n\r\n", "error:bad_status_line"},
      {"no code, space", "HTTP/1.1 \r\n\r\n", "error:bad_status_line"},
      {"NUL in the reason", of("200 O" + kNul + "K", zero), "error:nul_byte"},
      {"escape in the reason", of("200 \x1b[m", zero), "error:bad_status_line"},
      {"bare CR in the reason", of("200 O\rK", zero), "error:bad_line_end"},
      {"bare LF behind the line", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "error:bad_line_end"},
      {"http/1.2", "HTTP/1.2 200 OK\r\n\r\n", "error:unsupported_version"},
      {"http/2", "HTTP/2 200 OK\r\n\r\n", "error:unsupported_version"},
      {"http/0.9 by name", "HTTP/0.9 200 OK\r\n\r\n", "error:unsupported_version"},
      {"minor of a letter", "HTTP/1.x 200 OK\r\n\r\n", "error:bad_status_line"},
      {"short and versionless", "HTTP/1.\n", "error:bad_status_line"},
      {"short and of another version", "HTTP/1.7\n", "error:unsupported_version"},
      {"lower case", "http/1.1 200 OK\r\n\r\n", "error:bad_status_line"},
      {"another protocol", "SSH-2.0-x\r\n", "error:bad_status_line"},
      {"ICY", "ICY 200 OK\r\n\r\n", "error:bad_status_line"},
      {"TLS alert", std::string("\x15\x03\x01\x00\x02\x02\x46", 7), "error:bad_status_line"},
      {"HTTP/2 frame", std::string("\x00\x00\x12\x04\x00", 5), "error:bad_status_line"},
      {"leading CRLF", "\r\n" + ok(zero), "error:bad_status_line"},
      {"leading space", " " + ok(zero), "error:bad_status_line"},
      {"http/0.9 body", "<html>", "error:bad_status_line"},
      {"nothing yet", "", "more"},
      {"half a line", "HTTP/1.1 20", "more"},
      {"half a head", "HTTP/1.1 200 OK\r\nContent-Le", "more"},
      {"bytes behind the head", ok(zero) + "HTTP/1.1 200 surplus", "200 OK " + plain, 20},
  });
}

TEST(ResponseConformance, Framing) {
  const std::string both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
  check({
      {"length", ok("Content-Length: 5\r\n"), "200 OK length:5 keep 1.1"},
      {"length with zeros in front", ok("Content-Length: 005\r\n"), "200 OK length:5 keep 1.1"},
      {"length of 2^63-1", ok("Content-Length: 9223372036854775807\r\n"), "200 OK length:9223372036854775807 keep 1.1"},
      {"length of 2^63", ok("Content-Length: 9223372036854775808\r\n"), "error:bad_content_length"},
      {"chunked", ok("Transfer-Encoding: chunked\r\n"), "200 OK chunked keep 1.1"},
      {"Chunked", ok("Transfer-Encoding: Chunked\r\n"), "200 OK chunked keep 1.1"},
      {"neither", ok(""), "200 OK until_close close 1.1"},
      {"neither with keep-alive", ok("Connection: keep-alive\r\n"), "200 OK until_close close 1.1"},
      {"close", ok("Content-Length: 5\r\nConnection: close\r\n"), "200 OK length:5 close 1.1"},
      {"two lengths", ok("Content-Length: 5\r\nContent-Length: 6\r\n"), "error:duplicate_content_length"},
      {"two equal lengths", ok("Content-Length: 5\r\nContent-Length: 5\r\n"), "error:duplicate_content_length"},
      {"list of lengths", ok("Content-Length: 5, 5\r\n"), "error:bad_content_length"},
      {"plus", ok("Content-Length: +5\r\n"), "error:bad_content_length"},
      {"length and chunked", ok(both), "error:length_and_chunked"},
      {"chunked and length", ok("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), "error:length_and_chunked"},
      {"gzip, chunked", ok("Transfer-Encoding: gzip, chunked\r\n"), "error:unknown_transfer_coding"},
      {"gzip until close", ok("Transfer-Encoding: gzip\r\n"), "error:unknown_transfer_coding"},
      {"xchunked", ok("Transfer-Encoding: xchunked\r\n"), "error:bad_transfer_encoding"},
      {"identity", ok("Transfer-Encoding: identity\r\n"), "error:bad_transfer_encoding"},
      {"chunked twice", ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
       "error:bad_transfer_encoding"},
      {"chunked in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "error:transfer_encoding_in_http10"},
      {"1.0 with keep-alive", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
       "200 OK length:5 keep 1.0"},
      {"1.0 without length", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", "200 OK until_close close 1.0"},
      {"HEAD with a length", ok("Content-Length: 5\r\n"), "200 OK none keep 1.1 describes:5", 0, Method::head},
      {"HEAD with chunked", ok("Transfer-Encoding: chunked\r\n"), "200 OK none keep 1.1", 0, Method::head},
      {"HEAD with nothing", ok(""), "200 OK none keep 1.1", 0, Method::head},
      {"HEAD with both", ok(both), "error:length_and_chunked", 0, Method::head},
      {"304 with a length", of("304 Not Modified", "Content-Length: 5\r\n"),
       "304 Not Modified none keep 1.1 describes:5"},
      {"304 with chunked", of("304 Not Modified", "Transfer-Encoding: chunked\r\n"), "304 Not Modified none keep 1.1"},
      {"304 and bytes behind", of("304 Not Modified", "Content-Length: 5\r\n") + "hello",
       "304 Not Modified none keep 1.1 describes:5", 5},
      {"204", of("204 No Content", ""), "204 No Content none keep 1.1"},
      {"204 with a zero length", of("204 No Content", "Content-Length: 0\r\n"), "204 No Content none keep 1.1"},
      {"204 with a length", of("204 No Content", "Content-Length: 5\r\n") + "hello", "204 No Content none close 1.1",
       5},
      {"204 with chunked", of("204 No Content", "Transfer-Encoding: chunked\r\n"), "204 No Content none close 1.1"},
      {"204 with both", of("204 No Content", both), "error:length_and_chunked"},
      {"100", of("100 Continue", ""), "100 Continue none keep 1.1"},
      {"103", of("103 Early Hints", "Link: </a.css>\r\n"), "103 Early Hints none keep 1.1"},
      {"103 with a length", of("103 Early Hints", "Content-Length: 5\r\n"), "103 Early Hints none close 1.1"},
      {"205 is framed like others", of("205 Reset Content", "Content-Length: 0\r\n"),
       "205 Reset Content length:0 keep 1.1"},
      {"underscore look-alike frames nothing", ok("Content_Length: 5\r\n"), "200 OK until_close close 1.1"},
  });
}

TEST(ResponseConformance, Upgrades) {
  check({
      {"101 websocket", of("101 Switching Protocols", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
       "101 Switching Protocols none keep 1.1 +websocket"},
      {"101 in other case", of("101 X", "Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n"),
       "101 X none keep 1.1 +websocket"},
      {"101 without Connection", of("101 X", "Upgrade: websocket\r\n"), "101 X none keep 1.1"},
      {"101 without Upgrade", of("101 X", "Connection: Upgrade\r\n"), "101 X none keep 1.1"},
      {"101 to h2c", of("101 X", "Connection: Upgrade\r\nUpgrade: h2c\r\n"), "101 X none keep 1.1"},
      {"101 to a list", of("101 X", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"), "101 X none keep 1.1"},
      {"101 with two Upgrade fields",
       of("101 X", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n"), "101 X none keep 1.1"},
      {"101 in 1.0", "HTTP/1.0 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "101 X none close 1.0"},
      {"200 with Upgrade is no upgrade", ok("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"),
       "200 OK length:0 keep 1.1"},
  });
}

TEST(ResponseConformance, FieldsAndLimits) {
  std::string many;
  for (int i = 0; i < 101; ++i) many += "a: b\r\n";
  const std::string fill = "X: " + std::string(65536 - ok("X: \r\nContent-Length: 0\r\n").size(), 'a') + "\r\n";
  check({
      {"obs-fold", ok("X: a\r\n b\r\n"), "error:obs_fold"},
      {"space before the first field", ok(" X: a\r\n"), "error:leading_space"},
      {"space before the colon", ok("X : a\r\n"), "error:bad_field_name"},
      {"no colon", ok("nonsense\r\n"), "error:bad_field_name"},
      {"empty name", ok(": a\r\n"), "error:bad_field_name"},
      {"NUL in the value", ok("X: a" + kNul + "\r\n"), "error:nul_byte"},
      {"bare CR in the value", ok("X: a\rY: b\r\n"), "error:bad_line_end"},
      {"bare LF in the value", ok("X: a\nY: b\r\n"), "error:bad_line_end"},
      {"escape in the value", ok("X: \x1b\r\n"), "error:bad_field_value"},
      {"a hundred and one fields", ok(many), "error:too_many_fields"},
      {"head of exactly 64 KiB", ok(fill + "Content-Length: 0\r\n"), "200 OK length:0 keep 1.1"},
      {"head of one byte more", ok("X: a" + fill.substr(3) + "Content-Length: 0\r\n"), "error:head_too_large"},
      {"endless head", "HTTP/1.1 200 OK\r\nX: " + std::string(70000, 'a'), "error:head_too_large"},
      {"endless reason", "HTTP/1.1 200 " + std::string(70000, 'a'), "error:head_too_large"},
  });
}

TEST(ResponseConformance, SpoiltLineEndsNeverPass) {
  const std::vector<std::string> parts = {"HTTP/1.1 200 OK", "Content-Length: 0", "X: 0123456789abcdef0123", ""};
  const std::pair<const char*, std::string> ends[] = {
      {"LF", "\n"}, {"CR", "\r"}, {"LFCR", "\n\r"}, {"CRCRLF", "\r\r\n"}, {"nothing", ""}, {"NUL CRLF", kNul + "\r\n"}};
  for (std::size_t spoilt = 0; spoilt < parts.size(); ++spoilt) {
    for (const auto& [name, end] : ends) {
      std::string raw;
      for (std::size_t i = 0; i < parts.size(); ++i) raw += parts[i] + (i == spoilt ? end : "\r\n");
      raw += "HTTP/1.1 200 hidden\r\nContent-Length: 0\r\n\r\n";
      if (spoilt == 0 && end.empty()) continue;  // "200 OKContent-Length: 0" is a reason
      SCOPED_TRACE(std::string("line ") + std::to_string(spoilt) + " ends in " + name + "\n" + printable(raw));
      const Verdict whole = feed_response(raw, {raw.size()}, Method::get);
      EXPECT_EQ(whole.text.substr(0, 6), "error:") << whole.text;
      for (const auto& way : cuts(raw.size())) ASSERT_EQ(feed_response(raw, way, Method::get), whole) << cut_text(way);
    }
  }
}

}  // namespace
}  // namespace understudy::http::rows
