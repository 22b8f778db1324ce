// Requests: bytes and what they mean, or why they are refused.
#include <gtest/gtest.h>

#include "tests/conformance/codec_rows.hpp"

namespace understudy::http::rows {
namespace {

struct Row {
  const char* name;
  std::string raw;
  std::string wanted;     // meaning, "error:KIND" or "more"
  std::size_t after = 0;  // bytes behind the head
};

// A GET in HTTP/1.1 to host a with these further lines.
std::string get(const std::string& lines) { return "GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n"; }
std::string post(const std::string& lines) { return "POST / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n"; }
std::string line(const std::string& first) { return first + "\r\nHost: a\r\n\r\n"; }
std::string host(const std::string& value) { return "GET / HTTP/1.1\r\nHost: " + value + "\r\n\r\n"; }
const std::string kPlain = "GET / @a none keep 1.1";
const std::string kNul(1, '\0');

void check(const std::vector<Row>& rows, const HeadLimits& limits = {}) {
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string("row: ") + row.name + "\n" + printable(row.raw));
    for (const auto& way : cuts(row.raw.size())) {
      const Verdict verdict = feed_request(row.raw, way, limits);
      ASSERT_EQ(verdict.text, row.wanted) << cut_text(way);
      if (verdict.bytes != 0) {
        ASSERT_EQ(verdict.bytes, row.raw.size() - row.after) << cut_text(way);
      }
    }
  }
}

TEST(RequestConformance, RequestLines) {
  check({
      {"plain", get(""), kPlain},
      {"http/1.0", "GET / HTTP/1.0\r\n\r\n", "GET / @ none close 1.0"},
      {"http/1.0 with host", line("GET / HTTP/1.0"), "GET / @a none close 1.0"},
      {"http/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / @ none keep 1.0"},
      {"one leading CRLF", "\r\n" + get(""), kPlain},
      {"two leading CRLF", "\r\n\r\n" + get(""), "error:bad_request_line"},
      {"leading LF", "\n" + get(""), "error:bad_line_end"},
      {"leading CR", "\r" + get(""), "error:bad_line_end"},
      {"leading space", " " + get(""), "error:leading_space"},
      {"leading tab", "\t" + get(""), "error:leading_space"},
      {"leading NUL", kNul + get(""), "error:nul_byte"},
      {"lower-case method", line("get / HTTP/1.1"), "get / @a none keep 1.1"},
      {"unknown method", line("BREW /pot HTTP/1.1"), "BREW /pot @a none keep 1.1"},
      {"unknown method of 32", line(std::string(32, 'M') + " / HTTP/1.1"),
       std::string(32, 'M') + " / @a none keep 1.1"},
      {"unknown method of 33", line(std::string(33, 'M') + " / HTTP/1.1"), "error:bad_method"},
      {"endless method without a line end", std::string(5000, 'M'), "error:bad_method"},
      {"method with odd token characters", line("M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1"),
       "M-SEARCH!#$%&'*+.^_`|~ / @a none keep 1.1"},
      {"method with a colon", line("G:T / HTTP/1.1"), "error:bad_method"},
      {"method with 8-bit", line("G\xc3\xa9T / HTTP/1.1"), "error:bad_method"},
      {"method with NUL", line("G" + kNul + "T / HTTP/1.1"), "error:nul_byte"},
      {"no method", line("/ HTTP/1.1"), "error:bad_method"},
      {"CONNECT", line("CONNECT a:443 HTTP/1.1"), "error:method_not_allowed"},
      {"TRACE", line("TRACE / HTTP/1.1"), "error:method_not_allowed"},
      {"connect in lower case is another method", line("connect / HTTP/1.1"), "connect / @a none keep 1.1"},
      {"all others", line("PATCH /x HTTP/1.1"), "PATCH /x @a none keep 1.1"},
      {"two spaces after the method", line("GET  / HTTP/1.1"), "error:bad_request_line"},
      {"tab after the method", line("GET\t/ HTTP/1.1"), "error:bad_request_line"},
      {"two spaces before the version", line("GET /  HTTP/1.1"), "error:bad_request_line"},
      {"tab before the version", line("GET /\tHTTP/1.1"), "error:bad_target"},
      {"space at the end of the line", line("GET / HTTP/1.1 "), "error:bad_request_line"},
      {"http/0.9", "GET /\r\n", "error:bad_request_line"},
      {"method only", "GET\r\n", "error:bad_request_line"},
      {"method and space only", "GET \r\n\r\n", "error:bad_request_line"},
      {"http/1.2", line("GET / HTTP/1.2"), "error:unsupported_version"},
      {"http/2.0", line("GET / HTTP/2.0"), "error:unsupported_version"},
      {"http/0.9 by name", line("GET / HTTP/0.9"), "error:unsupported_version"},
      {"http/1.10", line("GET / HTTP/1.10"), "error:bad_version"},
      {"http/11", line("GET / HTTP/11"), "error:bad_version"},
      {"http/1", line("GET / HTTP/1"), "error:bad_version"},
      {"lower-case protocol", line("GET / http/1.1"), "error:bad_version"},
      {"another protocol", line("GET / ICAP/1.1"), "error:bad_version"},
      {"version with NUL", line("GET / HTTP/1.1" + kNul), "error:nul_byte"},
      {"version and bare CR", line("GET / HTTP/1.1\rX"), "error:bad_line_end"},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "error:http2_preface"},
      {"TLS ClientHello", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), "error:tls_on_plain"},
      {"SSLv2 hello", std::string("\x80\x2e\x01\x00\x02", 5), "error:bad_method"},
      {"nothing yet", "", "more"},
      {"half a line", "GET / HT", "more"},
      {"half a field", "GET / HTTP/1.1\r\nHos", "more"},
      {"one LF short", "GET / HTTP/1.1\r\nHost: a\r\n\r", "more"},
      {"bytes after the head", get("") + "GET /next", kPlain, 9},
  });
}

TEST(RequestConformance, Targets) {
  check({
      {"query", line("GET /p?x=1&y HTTP/1.1"), "GET /p?x=1&y @a none keep 1.1"},
      {"empty query", line("GET /p? HTTP/1.1"), "GET /p? @a none keep 1.1"},
      {"question marks in the query", line("GET /p?a?b HTTP/1.1"), "GET /p?a?b @a none keep 1.1"},
      {"dot segments unchanged", line("GET /a/../b HTTP/1.1"), "GET /a/../b @a none keep 1.1"},
      {"encoded dots unchanged", line("GET /a/%2e%2e/b HTTP/1.1"), "GET /a/%2e%2e/b @a none keep 1.1"},
      {"double slash unchanged", line("GET //b%2fc HTTP/1.1"), "GET //b%2fc @a none keep 1.1"},
      {"fragment", line("GET /a#b HTTP/1.1"), "error:bad_target"},
      {"fragment only", line("GET # HTTP/1.1"), "error:bad_target"},
      {"raw 0xff", line("GET /\xff HTTP/1.1"), "error:bad_target"},
      {"raw UTF-8", line("GET /\xc3\xa9 HTTP/1.1"), "error:bad_target"},
      {"space", line("GET /a b HTTP/1.1"), "error:bad_request_line"},
      {"tab", line("GET /a\tb HTTP/1.1"), "error:bad_target"},
      {"NUL", line("GET /a" + kNul + " HTTP/1.1"), "error:nul_byte"},
      {"escape", line("GET /a\x1b[0m HTTP/1.1"), "error:bad_target"},
      {"DEL", line("GET /a\x7f HTTP/1.1"), "error:bad_target"},
      {"CR", line("GET /a\rb HTTP/1.1"), "error:bad_request_line"},
      {"control beyond sixteen bytes", line("GET /0123456789abcdef0123\x01 HTTP/1.1"), "error:bad_target"},
      {"fragment beyond sixteen bytes", line("GET /0123456789abcdef0123#x HTTP/1.1"), "error:bad_target"},
      {"relative", line("GET a/b HTTP/1.1"), "error:bad_target"},
      {"query only", line("GET ?x HTTP/1.1"), "error:bad_target"},
      {"authority-form outside CONNECT", line("GET a:80 HTTP/1.1"), "error:bad_target"},
      {"asterisk with OPTIONS", line("OPTIONS * HTTP/1.1"), "OPTIONS * @a none keep 1.1"},
      {"asterisk with GET", line("GET * HTTP/1.1"), "error:bad_target"},
      {"asterisk and more", line("OPTIONS *x HTTP/1.1"), "error:bad_target"},
      {"absolute", line("GET http://a/x?y HTTP/1.1"), "GET /x?y @a none keep 1.1"},
      {"absolute, scheme in capitals", line("GET HTTP://A/x HTTP/1.1"), "GET /x @a none keep 1.1"},
      {"absolute without path", line("GET http://a HTTP/1.1"), "GET / @a none keep 1.1"},
      {"absolute without path, with query", line("GET http://a?q HTTP/1.1"), "GET /?q @a none keep 1.1"},
      {"absolute with the default port", line("GET http://a:80/ HTTP/1.1"), "GET / @a none keep 1.1"},
      {"absolute https with the default port", line("GET https://a:443/ HTTP/1.1"), "GET / @a none keep 1.1"},
      {"absolute, evil", line("GET http://evil/x HTTP/1.1"), "error:host_mismatch"},
      {"absolute, other port", line("GET http://a:81/ HTTP/1.1"), "error:host_mismatch"},
      {"absolute, https port against http", line("GET https://a:80/ HTTP/1.1"), "error:host_mismatch"},
      {"absolute to a metadata address", line("GET http://169.254.169.254/ HTTP/1.1"), "error:host_mismatch"},
      {"absolute with user", line("GET http://u@a/ HTTP/1.1"), "error:bad_host"},
      {"absolute with user that hides the host", line("GET http://a@evil/ HTTP/1.1"), "error:bad_host"},
      {"absolute without authority", line("GET http:///x HTTP/1.1"), "error:bad_host"},
      {"absolute, scheme only", line("GET http:// HTTP/1.1"), "error:bad_target"},
      {"absolute, one slash", line("GET http:/a HTTP/1.1"), "error:bad_target"},
      {"absolute, backslash", line("GET http://a\\@evil/ HTTP/1.1"), "error:bad_host"},
      {"absolute, other scheme", line("GET ftp://a/ HTTP/1.1"), "error:bad_target"},
      {"absolute in 1.1 without Host", "GET http://a/ HTTP/1.1\r\n\r\n", "error:missing_host"},
      {"absolute in 1.0 without Host", "GET http://a/ HTTP/1.0\r\n\r\n", "GET / @a none close 1.0"},
      {"absolute with OPTIONS and no path", line("OPTIONS http://a HTTP/1.1"), "OPTIONS / @a none keep 1.1"},
  });
}

TEST(RequestConformance, Hosts) {
  check({
      {"name", host("www.example.org"), "GET / @www.example.org none keep 1.1"},
      {"name and port", host("www.example.org:8080"), "GET / @www.example.org:8080 none keep 1.1"},
      {"capitals stay", host("EXAMPLE.org"), "GET / @EXAMPLE.org none keep 1.1"},
      {"IPv4", host("127.0.0.1:80"), "GET / @127.0.0.1:80 none keep 1.1"},
      {"IPv6", host("[::1]"), "GET / @[::1] none keep 1.1"},
      {"IPv6 and port", host("[2001:db8::1]:8443"), "GET / @[2001:db8::1]:8443 none keep 1.1"},
      {"underscore", host("a_b.example"), "GET / @a_b.example none keep 1.1"},
      {"blanks around", "GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", kPlain},
      {"no blank", "GET / HTTP/1.1\r\nHost:a\r\n\r\n", kPlain},
      {"name in capitals", "GET / HTTP/1.1\r\nHOST: a\r\n\r\n", kPlain},
      {"none in 1.1", "GET / HTTP/1.1\r\n\r\n", "error:missing_host"},
      {"two", get("Host: b\r\n"), "error:duplicate_host"},
      {"two equal", get("Host: a\r\n"), "error:duplicate_host"},
      {"two, other case", get("hOST: a\r\n"), "error:duplicate_host"},
      {"two in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "error:duplicate_host"},
      {"empty", host(""), "error:bad_host"},
      {"empty port", host("a:"), "error:bad_host"},
      {"port only", host(":80"), "error:bad_host"},
      {"port with letters", host("a:8o"), "error:bad_host"},
      {"port with sign", host("a:+80"), "error:bad_host"},
      {"port zero", host("a:0"), "error:bad_host"},
      {"port too large", host("a:65536"), "error:bad_host"},
      {"port of six digits", host("a:000080"), "error:bad_host"},
      {"two ports", host("a:80:81"), "error:bad_host"},
      {"list", host("a, b"), "error:bad_host"},
      {"space inside", host("a b"), "error:bad_host"},
      {"user", host("u@a"), "error:bad_host"},
      {"slash", host("a/b"), "error:bad_host"},
      {"query", host("a?b"), "error:bad_host"},
      {"quote", host("a\"b"), "error:bad_host"},
      {"percent", host("%61"), "error:bad_host"},
      {"8-bit", host("\xc3\xa9"), "error:bad_host"},
      {"IPv6 without brackets", host("::1"), "error:bad_host"},
      {"IPv6, open bracket", host("[::1"), "error:bad_host"},
      {"IPv6, junk inside", host("[::g]"), "error:bad_host"},
      {"IPv6, junk behind", host("[::1]x"), "error:bad_host"},
      {"IPv6 with zone", host("[fe80::1%25lo]"), "error:bad_host"},
      {"IPv4 in brackets", host("[127.0.0.1]"), "error:bad_host"},
      {"name of 255", host(std::string(255, 'a')), "GET / @" + std::string(255, 'a') + " none keep 1.1"},
      {"name of 256", host(std::string(256, 'a')), "error:bad_host"},
  });
}

TEST(RequestConformance, ContentLength) {
  check({
      {"none", post(""), "POST / @a none keep 1.1"},
      {"zero", post("Content-Length: 0\r\n"), "POST / @a length:0 keep 1.1"},
      {"five and its bytes", post("Content-Length: 5\r\n") + "hello", "POST / @a length:5 keep 1.1", 5},
      {"on GET", get("Content-Length: 5\r\n"), "GET / @a length:5 keep 1.1"},
      {"zeros in front", post("Content-Length: 003\r\n"), "POST / @a length:3 keep 1.1"},
      {"many zeros in front", post("Content-Length: " + std::string(60, '0') + "7\r\n"), "POST / @a length:7 keep 1.1"},
      {"2^63-1", post("Content-Length: 9223372036854775807\r\n"), "POST / @a length:9223372036854775807 keep 1.1"},
      {"2^63", post("Content-Length: 9223372036854775808\r\n"), "error:bad_content_length"},
      {"2^64+5", post("Content-Length: 18446744073709551621\r\n"), "error:bad_content_length"},
      {"a hundred nines", post("Content-Length: " + std::string(100, '9') + "\r\n"), "error:bad_content_length"},
      {"equal twice", post("Content-Length: 3\r\nContent-Length: 3\r\n"), "error:duplicate_content_length"},
      {"different twice", post("Content-Length: 3\r\nContent-Length: 4\r\n"), "error:duplicate_content_length"},
      {"twice, other case", post("Content-Length: 3\r\ncontent-length: 3\r\n"), "error:duplicate_content_length"},
      {"list of equals", post("Content-Length: 3, 3\r\n"), "error:bad_content_length"},
      {"list without blank", post("Content-Length: 3,3\r\n"), "error:bad_content_length"},
      {"trailing comma", post("Content-Length: 3,\r\n"), "error:bad_content_length"},
      {"plus", post("Content-Length: +3\r\n"), "error:bad_content_length"},
      {"minus", post("Content-Length: -3\r\n"), "error:bad_content_length"},
      {"hex", post("Content-Length: 0x3\r\n"), "error:bad_content_length"},
      {"point", post("Content-Length: 3.0\r\n"), "error:bad_content_length"},
      {"exponent", post("Content-Length: 3e0\r\n"), "error:bad_content_length"},
      {"letters", post("Content-Length: three\r\n"), "error:bad_content_length"},
      {"empty", post("Content-Length:\r\n"), "error:bad_content_length"},
      {"blank", post("Content-Length: \t\r\n"), "error:bad_content_length"},
      {"blank inside", post("Content-Length: 1 0\r\n"), "error:bad_content_length"},
      {"quoted", post("Content-Length: \"3\"\r\n"), "error:bad_content_length"},
      {"8-bit digit", post("Content-Length: \xb3\r\n"), "error:bad_content_length"},
      {"vertical tab in front",
       post("Content-Length: \x0b"
            "3\r\n"),
       "error:bad_field_value"},
      {"NUL behind", post("Content-Length: 3" + kNul + "\r\n"), "error:nul_byte"},
      {"underscore look-alike is another field", post("Content_Length: 3\r\n"), "POST / @a none keep 1.1"},
  });
}

TEST(RequestConformance, TransferEncoding) {
  const auto te = [](const std::string& value) { return post("Transfer-Encoding: " + value + "\r\n"); };
  const std::string chunked = "POST / @a chunked keep 1.1";
  check({
      {"chunked", te("chunked"), chunked},
      {"chunked with its body", te("chunked") + "0\r\n\r\n", chunked, 5},
      {"mixed case", te("ChUnKeD"), chunked},
      {"blanks around", te("\t chunked \t"), chunked},
      {"no blank", post("Transfer-Encoding:chunked\r\n"), chunked},
      {"on GET", get("Transfer-Encoding: chunked\r\n"), "GET / @a chunked keep 1.1"},
      {"length then chunked", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "error:length_and_chunked"},
      {"chunked then length", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), "error:length_and_chunked"},
      {"gzip and length", post("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n"), "error:length_and_chunked"},
      {"identity and length", post("Transfer-Encoding: identity\r\nContent-Length: 5\r\n"), "error:length_and_chunked"},
      {"chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
       "error:bad_transfer_encoding"},
      {"identity then chunked", post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
       "error:bad_transfer_encoding"},
      {"gzip then chunked in two fields", post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
       "error:bad_transfer_encoding"},
      {"in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "error:transfer_encoding_in_http10"},
      {"xchunked", te("xchunked"), "error:bad_transfer_encoding"},
      {"chunkedx", te("chunkedx"), "error:bad_transfer_encoding"},
      {"chunked, identity", te("chunked, identity"), "error:bad_transfer_encoding"},
      {"identity", te("identity"), "error:bad_transfer_encoding"},
      {"identity, chunked", te("identity, chunked"), "error:bad_transfer_encoding"},
      {"gzip, chunked", te("gzip, chunked"), "error:unknown_transfer_coding"},
      {"gzip", te("gzip"), "error:unknown_transfer_coding"},
      {"GZIP,Chunked", te("GZIP,Chunked"), "error:unknown_transfer_coding"},
      {"deflate, gzip, chunked", te("deflate, gzip, chunked"), "error:unknown_transfer_coding"},
      {"x-compress", te("x-compress"), "error:unknown_transfer_coding"},
      {"chunked, gzip", te("chunked, gzip"), "error:bad_transfer_encoding"},
      {"chunked, chunked", te("chunked, chunked"), "error:bad_transfer_encoding"},
      {"trailing comma", te("chunked,"), "error:bad_transfer_encoding"},
      {"leading comma", te(",chunked"), "error:bad_transfer_encoding"},
      {"empty", te(""), "error:bad_transfer_encoding"},
      {"comma only", te(","), "error:bad_transfer_encoding"},
      {"quoted", te("\"chunked\""), "error:bad_transfer_encoding"},
      {"single quoted", te("'chunked'"), "error:bad_transfer_encoding"},
      {"parameter", te("chunked;q=1"), "error:bad_transfer_encoding"},
      {"empty parameter", te("chunked;"), "error:bad_transfer_encoding"},
      {"gzip with parameter", te("gzip;q=0.5, chunked"), "error:bad_transfer_encoding"},
      {"space inside", te("chun ked"), "error:bad_transfer_encoding"},
      {"two words", te("chunked chunked"), "error:bad_transfer_encoding"},
      {"8-bit dotless",
       te("chun\xc4\xb8"
          "ed"),
       "error:bad_transfer_encoding"},
      {"vertical tab in front",
       te("\x0b"
          "chunked"),
       "error:bad_field_value"},
      {"form feed behind", te("chunked\x0c"), "error:bad_field_value"},
      {"NUL behind", te("chunked" + kNul), "error:nul_byte"},
      {"bare CR in front", te("\rchunked"), "error:bad_line_end"},
      {"folded", post("Transfer-Encoding:\r\n chunked\r\n"), "error:obs_fold"},
      {"space before the colon", post("Transfer-Encoding : chunked\r\n"), "error:bad_field_name"},
      {"tab before the colon", post("Transfer-Encoding\t: chunked\r\n"), "error:bad_field_name"},
      {"space before the name", post(" Transfer-Encoding: chunked\r\n"), "error:obs_fold"},
      {"NUL in the name", post("Transfer" + kNul + "-Encoding: chunked\r\n"), "error:nul_byte"},
      {"underscore look-alike is another field", post("Transfer_Encoding: chunked\r\n"), "POST / @a none keep 1.1"},
      {"list of four thousand bytes", te(std::string(4000, ',') + "chunked"), "error:bad_transfer_encoding"},
  });
}

TEST(RequestConformance, Fields) {
  check({
      {"value with blanks and 8-bit", get("X: a b\tc \xff\xc3\xa9\r\n"), kPlain},
      {"empty value", get("X:\r\n"), kPlain},
      {"obs-fold with space", get("X: a\r\n b\r\n"), "error:obs_fold"},
      {"obs-fold with tab", get("X: a\r\n\tb\r\n"), "error:obs_fold"},
      {"space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "error:leading_space"},
      {"space line before the end", get(" \r\n"), "error:obs_fold"},
      {"empty name", get(": a\r\n"), "error:bad_field_name"},
      {"no colon", get("Nonsense\r\n"), "error:bad_field_name"},
      {"space before the colon", get("X : a\r\n"), "error:bad_field_name"},
      {"tab before the colon", get("X\t: a\r\n"), "error:bad_field_name"},
      {"space in the name", get("X Y: a\r\n"), "error:bad_field_name"},
      {"quote in the name", get("\"X\": a\r\n"), "error:bad_field_name"},
      {"8-bit in the name", get("X\xc3\xa9: a\r\n"), "error:bad_field_name"},
      {"parenthesis in the name", get("X(: a\r\n"), "error:bad_field_name"},
      {"slash in the name", get("X/Y: a\r\n"), "error:bad_field_name"},
      {"NUL in the name", get("X" + kNul + ": a\r\n"), "error:nul_byte"},
      {"NUL in the value", get("X: a" + kNul + "b\r\n"), "error:nul_byte"},
      {"NUL far in the value", get("X: 0123456789abcdef0123456789abcdef" + kNul + "\r\n"), "error:nul_byte"},
      {"bare CR in the value", get("X: a\rb\r\n"), "error:bad_line_end"},
      {"bare CR far in the value", get("X: 0123456789abcdef0123456789abcdef\rY: b\r\n"), "error:bad_line_end"},
      {"bare LF in the value", get("X: a\nb\r\n"), "error:bad_line_end"},
      {"escape in the value", get("X: \x1b[31m\r\n"), "error:bad_field_value"},
      {"DEL in the value", get("X: \x7f\r\n"), "error:bad_field_value"},
      {"DEL far in the value", get("X: 0123456789abcdef0123456789\x7f\r\n"), "error:bad_field_value"},
      {"vertical tab in the value", get("X: \x0b\r\n"), "error:bad_field_value"},
      {"backspace in the value", get("X: \x08\r\n"), "error:bad_field_value"},
      {"bare LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\n", "error:bad_line_end"},
      {"all bare LF", "GET / HTTP/1.1\nHost: a\n\n", "error:bad_line_end"},
      {"a hidden request behind LF LF", get("X: a\n\nGET /hidden HTTP/1.1\r\n"), "error:bad_line_end"},
  });
}

TEST(RequestConformance, Connection) {
  check({
      {"close", get("Connection: close\r\n"), "GET / @a none close 1.1"},
      {"CLOSE", get("Connection: CLOSE\r\n"), "GET / @a none close 1.1"},
      {"keep-alive and close", get("Connection: keep-alive, close\r\n"), "GET / @a none close 1.1"},
      {"close in a second field", get("Connection: x\r\nConnection: close\r\n"), "GET / @a none close 1.1"},
      {"keep-alive and close in 1.0", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
       "GET / @ none close 1.0"},
      {"empty elements", get("Connection: ,, close ,\r\n"), "GET / @a none close 1.1"},
      {"close as part of a word", get("Connection: closed\r\n"), kPlain},
      {"nominations up to the limit", get("Connection: " + std::string("x,") + std::string(62, ',') + "y\r\n"), kPlain},
      {"too many nominations", get([] {
         std::string list = "Connection: a";
         for (int i = 0; i < 40; ++i) list += ",a";
         return list + "\r\n";
       }()),
       "error:too_many_fields"},
  });
}

TEST(RequestConformance, Expect) {
  const std::string body = "Content-Length: 5\r\n";
  check({
      {"with a length", post(body + "Expect: 100-continue\r\n"), "POST / @a length:5 keep 1.1 +expect"},
      {"with chunked", post("Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n"),
       "POST / @a chunked keep 1.1 +expect"},
      {"with an empty body", post("Content-Length: 0\r\nExpect: 100-continue\r\n"), "POST / @a length:0 keep 1.1"},
      {"without a body", get("Expect: 100-continue\r\n"), "error:bad_expect"},
      {"y 100-continue", post(body + "Expect: y 100-continue\r\n"), "error:bad_expect"},
      {"y=1, 100-continue", post(body + "Expect: y=1, 100-continue\r\n"), "error:bad_expect"},
      {"100-continue twice in a list", post(body + "Expect: 100-continue, 100-continue\r\n"), "error:bad_expect"},
      {"in two fields", post(body + "Expect: 100-continue\r\nExpect: 100-continue\r\n"), "error:bad_expect"},
      {"another", post(body + "Expect: 200-ok\r\n"), "error:bad_expect"},
      {"empty", post(body + "Expect:\r\n"), "error:bad_expect"},
      {"folded", post(body + "Expect:\r\n 100-continue\r\n"), "error:obs_fold"},
      {"in 1.0 ignored", "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
       "POST / @ length:5 close 1.0"},
      {"nonsense in 1.0 ignored", "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: y\r\n\r\n",
       "POST / @ length:5 close 1.0"},
  });
}

std::string upgrade(const std::string& lines, const std::string& first = "GET / HTTP/1.1") {
  return first + "\r\nHost: a\r\n" + lines + "\r\n";
}
const std::string kUp = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const std::string kKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const std::string kVersion = "Sec-WebSocket-Version: 13\r\n";

TEST(RequestConformance, Upgrade) {
  const std::string good = "GET / @a none keep 1.1 +websocket";
  const std::string bad = "error:bad_websocket";
  check({
      {"websocket", upgrade(kUp + kKey + kVersion), good},
      {"websocket, other case", upgrade("Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n" + kKey + kVersion),
       good},
      {"websocket in a list", upgrade("Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n" + kKey + kVersion), good},
      {"websocket with an empty body", upgrade(kUp + kKey + kVersion + "Content-Length: 0\r\n"),
       "GET / @a length:0 keep 1.1 +websocket"},
      {"bytes behind the head stay", upgrade(kUp + kKey + kVersion) + "GET /hidden", good, 11},
      {"with a length", upgrade(kUp + kKey + kVersion + "Content-Length: 5\r\n"), "error:upgrade_with_body"},
      {"with chunked", upgrade(kUp + kKey + kVersion + "Transfer-Encoding: chunked\r\n"), "error:upgrade_with_body"},
      {"POST with a length", upgrade(kUp + kKey + kVersion + "Content-Length: 5\r\n", "POST / HTTP/1.1"),
       "error:upgrade_with_body"},
      {"POST", upgrade(kUp + kKey + kVersion, "POST / HTTP/1.1"), bad},
      {"HEAD", upgrade(kUp + kKey + kVersion, "HEAD / HTTP/1.1"), bad},
      {"in 1.0", upgrade(kUp + kKey + kVersion, "GET / HTTP/1.0"), bad},
      {"no Connection", upgrade("Upgrade: websocket\r\n" + kKey + kVersion), bad},
      {"Connection without upgrade", upgrade("Connection: keep-alive\r\nUpgrade: websocket\r\n" + kKey + kVersion),
       bad},
      {"no key", upgrade(kUp + kVersion), bad},
      {"two keys", upgrade(kUp + kKey + kKey + kVersion), bad},
      {"key of 23", upgrade(kUp + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n" + kVersion), bad},
      {"key of 15 bytes", upgrade(kUp + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n" + kVersion), bad},
      {"key of 17 bytes", upgrade(kUp + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQE=\r\n" + kVersion), bad},
      {"key with a stray character", upgrade(kUp + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\r\n" + kVersion), bad},
      {"key with stray bits", upgrade(kUp + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n" + kVersion), bad},
      {"key in the URL alphabet", upgrade(kUp + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub2-_ZQ==\r\n" + kVersion), bad},
      {"no version", upgrade(kUp + kKey), bad},
      {"version 8", upgrade(kUp + kKey + "Sec-WebSocket-Version: 8\r\n"), bad},
      {"version 13, 8", upgrade(kUp + kKey + "Sec-WebSocket-Version: 13, 8\r\n"), bad},
      {"version twice", upgrade(kUp + kKey + kVersion + kVersion), bad},
      {"version 013", upgrade(kUp + kKey + "Sec-WebSocket-Version: 013\r\n"), bad},
      {"h2c", upgrade("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
       "GET / @a none keep 1.1 +other"},
      {"h2c with a body", upgrade("Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n", "POST / HTTP/1.1"),
       "POST / @a length:5 keep 1.1 +other"},
      {"websocket as part of a word", upgrade("Connection: Upgrade\r\nUpgrade: xwebsocket\r\n"),
       "GET / @a none keep 1.1 +other"},
      {"Connection: upgrade alone", get("Connection: upgrade\r\n"), kPlain},
      {"no Upgrade, but the rest of it", get(kKey + kVersion), kPlain},
  });
}

TEST(RequestConformance, Limits) {
  const HeadLimits limits;  // 16 KiB, 100 fields, 8 KiB of target
  std::string hundred, more;
  for (int i = 0; i < 99; ++i) hundred += "X: a\r\n";
  more = hundred + "X: a\r\n";
  const std::string uri(8191, 'x');
  const std::string fill = "X: " + std::string(16384 - get("X: \r\n").size(), 'a') + "\r\n";
  check(
      {
          {"a hundred fields", get(hundred), kPlain},
          {"a hundred and one", get(more), "error:too_many_fields"},
          {"five thousand fields", get([] {
             std::string lines;
             for (int i = 0; i < 5000; ++i) lines += "a:\r\n";
             return lines;
           }()),
           "error:too_many_fields"},
          {"target of 8192", line("GET /" + uri + " HTTP/1.1"), "GET /" + uri + " @a none keep 1.1"},
          {"target of 8193", line("GET /y" + uri + " HTTP/1.1"), "error:uri_too_long"},
          {"target of 8193 behind a leading CRLF", "\r\n" + line("GET /y" + uri + " HTTP/1.1"), "error:uri_too_long"},
          {"long target that never ends", "GET /" + std::string(9000, 'x'), "error:uri_too_long"},
          {"long target with a forbidden byte", "GET /#" + std::string(9000, 'x'), "error:uri_too_long"},
          {"long target that ends in LF", "GET /" + std::string(9000, 'x') + "\n", "error:uri_too_long"},
          {"head of exactly 16 KiB", get(fill), kPlain},
          {"head of one byte more", get("X: a" + fill.substr(3)), "error:head_too_large"},
          {"head without an end", "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(20000, 'a'), "error:head_too_large"},
          {"error beyond the limit is not looked at", get("X: " + std::string(16400, 'a') + "\x01\r\n"),
           "error:head_too_large"},
          {"error before the limit comes first", get("X: \x01\r\nX: " + std::string(17000, 'a') + "\r\n"),
           "error:bad_field_value"},
      },
      limits);
}

// Every line end of a head, spoilt in every way, with a second request hidden behind: never accepted.
TEST(RequestConformance, SpoiltLineEndsNeverPass) {
  const std::vector<std::string> parts = {"POST / HTTP/1.1", "Host: a", "Content-Length: 0", "X: 0123456789abcdef0123",
                                          ""};
  const std::pair<const char*, std::string> ends[] = {{"LF", "\n"},
                                                      {"CR", "\r"},
                                                      {"LFCR", "\n\r"},
                                                      {"CRCRLF", "\r\r\n"},
                                                      {"nothing", ""},
                                                      {"NUL CRLF", kNul + "\r\n"},
                                                      {"CR NUL LF", "\r" + kNul + "\n"},
                                                      {"VT CRLF", "\x0b\r\n"},
                                                      {"NEL", "\xc2\x85"}};
  for (std::size_t spoilt = 0; spoilt < parts.size(); ++spoilt) {
    for (const auto& [name, end] : ends) {
      std::string raw;
      for (std::size_t i = 0; i < parts.size(); ++i) raw += parts[i] + (i == spoilt ? end : "\r\n");
      raw += "GET /hidden HTTP/1.1\r\nHost: b\r\n\r\n";
      SCOPED_TRACE(std::string("line ") + std::to_string(spoilt) + " ends in " + name + "\n" + printable(raw));
      const Verdict whole = feed_request(raw, {raw.size()});
      EXPECT_EQ(whole.text.substr(0, 6), "error:") << whole.text;
      for (const auto& way : cuts(raw.size())) ASSERT_EQ(feed_request(raw, way), whole) << cut_text(way);
    }
  }
}

TEST(RequestConformance, EveryControlByteIsRefusedEverywhere) {
  for (int c = 0; c < 256; ++c) {
    const char byte = static_cast<char>(c);
    const bool control = (c < 0x20 && c != '\t') || c == 0x7f;
    if (!control) continue;
    for (const std::size_t pad : {0, 3, 15, 16, 17, 40}) {
      const std::string filler(pad, 'x');
      const std::string in_value = get("X: " + filler + byte + "y\r\n");
      const std::string in_name = get("X" + filler + byte + "y: z\r\n");
      const std::string in_target = line("GET /" + filler + byte + "y HTTP/1.1");
      for (const std::string& raw : {in_value, in_name, in_target}) {
        const Verdict whole = feed_request(raw, {raw.size()});
        EXPECT_EQ(whole.text.substr(0, 6), "error:") << printable(raw);
      }
    }
  }
}

}  // namespace
}  // namespace understudy::http::rows
