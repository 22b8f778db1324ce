#include <gmock/gmock.h>
#include <gtest/gtest.h>

// Built into this one file: the production targets of observe need no JSON library.
#include <boost/json/src.hpp>
#include <optional>
#include <set>
#include <string>

#include "proxy/observe/log.hpp"

namespace understudy::observe {
namespace {

AccessRecord example() {
  AccessRecord record{};
  record.unix_us = 1'795'313'645'123'999;  // 2026-11-22T02:14:05.123999Z
  record.duration_us = 12'345;
  record.ttfb_us = 11'000;
  record.connect_us = 70;
  record.queue_us = 30'000;
  record.bytes_in = 512;
  record.bytes_out = 2326;
  record.status = 200;
  record.attempts = 1;
  record.tls = true;
  record.tier = 1;
  record.epoch = 1007;
  record.method.assign("GET");
  record.client_ip.assign("192.0.2.7");
  record.request_id.assign("018f-7");
  record.trace_id.assign("4bf92f3577b34da6a3ce929d0e0e4736");
  record.listener.assign("web");
  record.route_name.assign("route-1");
  record.pool.assign("app");
  record.endpoint.assign("10.0.1.11:3000");
  record.host.assign("example.org");
  record.path.assign("/a?b=c");
  record.user_agent.assign("curl/7.88.1");
  record.referer.assign("https://example.org/");
  return record;
}

std::string slash_and(std::size_t count) { return std::string("/").append(count, 'p'); }

std::string json_line(const AccessRecord& record) {
  std::string line;
  format_json(record, line);
  return line;
}
std::string combined_line(const AccessRecord& record) {
  std::string line;
  format_combined(record, line);
  return line;
}

// Undoes \xNN; nothing if a backslash begins anything else.
std::optional<std::string> unescaped(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes += text[i];
      continue;
    }
    if (i + 3 >= text.size() || text[i + 1] != 'x') return std::nullopt;
    bytes += static_cast<char>(std::stoi(std::string(text.substr(i + 2, 2)), nullptr, 16));
    i += 3;
  }
  return bytes;
}

// The quoted fields of a combined line, as a log reader splits it: a quote always ends a field.
std::vector<std::string> quoted_fields(const std::string& line) {
  std::vector<std::string> fields;
  std::size_t at = 0;
  while ((at = line.find('"', at)) != std::string::npos) {
    const std::size_t end = line.find('"', at + 1);
    if (end == std::string::npos) return {};
    fields.push_back(line.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return fields;
}

TEST(JsonFormat, WritesEveryFieldInOneLine) {
  EXPECT_EQ(
      json_line(example()),
      "{\"ts\":\"2026-11-22T02:14:05.123Z\",\"client_ip\":\"192.0.2.7\",\"method\":\"GET\",\"host\":"
      "\"example.org\","
      "\"path\":\"/a?b=c\",\"proto\":\"HTTP/1.1\",\"status\":200,\"bytes_in\":512,\"bytes_out\":2326,"
      "\"duration_ms\":12.345,\"ttfb_ms\":11,\"connect_ms\":0.070,\"queue_ms\":30,\"tls\":true,\"listener\":\"web\","
      "\"route\":\"route-1\",\"pool\":\"app\",\"tier\":1,\"endpoint\":\"10.0.1.11:3000\",\"epoch\":1007,"
      "\"attempts\":1,\"hedge\":\"\",\"request_id\":\"018f-7\",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
      "\"term\":"
      "\"ok\","
      "\"websocket\":false,\"user_agent\":\"curl/7.88.1\",\"referer\":\"https://example.org/\"}\n");
}

TEST(JsonFormat, TellsHowATunnelEnded) {
  AccessRecord record = example();
  record.status = 101;
  record.websocket = record.tunnel = true;
  record.tunnel_end = TunnelEnd::draining;
  record.closed_by = Closer::proxy;
  record.close_code = 1012;
  record.messages_in = 3;
  record.messages_out = 4;
  record.parked = 2;
  EXPECT_THAT(
      json_line(record),
      testing::HasSubstr("\"websocket\":true,\"tunnel_end\":\"draining\",\"closed_by\":\"proxy\","
                         "\"close_code\":1012,\"messages_in\":3,\"messages_out\":4,\"parked\":2,\"user_agent\""));
}

TEST(JsonFormat, StaysOneSchemaWhenNothingIsKnown) {
  const auto full = boost::json::parse(json_line(example())).as_object();
  const auto bare = boost::json::parse(json_line(AccessRecord{})).as_object();
  ASSERT_EQ(full.size(), bare.size());
  for (const auto& [name, value] : full) {
    ASSERT_TRUE(bare.contains(name)) << name;
    EXPECT_EQ(bare.at(name).is_string(), value.is_string()) << name;
    EXPECT_EQ(bare.at(name).is_bool(), value.is_bool()) << name;
  }
}

TEST(JsonFormat, ParsesBackWithEveryByteInTheUserAgent) {
  AccessRecord record = example();
  for (int byte = 1; byte < 256; ++byte) {
    for (const std::string& text :
         {std::string{static_cast<char>(byte)}, std::string{'a', static_cast<char>(byte), 'b'}}) {
      record.user_agent.assign(text);
      const std::string line = json_line(record);
      ASSERT_EQ(line.find('\n'), line.size() - 1) << byte;
      const auto parsed = boost::json::parse(line).as_object();
      const std::string back(parsed.at("user_agent").as_string());
      if (byte < 0x80) {
        EXPECT_EQ(back, text) << byte;
      } else {  // a lone byte that is not UTF-8
        EXPECT_EQ(unescaped(back), text) << byte;
        EXPECT_NE(back, text) << byte;
      }
      EXPECT_EQ(parsed.at("status"), 200);
    }
  }
}

TEST(JsonFormat, ParsesBackWithAllBytesAtOnce) {
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  AccessRecord record = example();
  record.user_agent.assign(all);
  record.referer.assign(all);
  record.path.assign(all);
  const std::string line = json_line(record);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto parsed = boost::json::parse(line).as_object();
  EXPECT_EQ(parsed.at("user_agent"), parsed.at("path"));
  EXPECT_EQ(parsed.at("term"), "ok");
  EXPECT_FALSE(parsed.contains("cut"));
}

TEST(JsonFormat, EscapesWhatBreaksLinesOrSteersTerminals) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"a\xE2\x80\xA8z", "a\\u2028z"},  // line separator
      {"a\xE2\x80\xA9z", "a\\u2029z"},  // paragraph separator
      {"a\xC2\x9B"
       "31mz",
       "a\\u009B31mz"},                 // C1 control sequence introducer
      {"a\x1B[31mz", "a\\u001B[31mz"},  // ANSI escape
      {"a\x7Fz", "a\\u007Fz"},
      {"a\xE2\x80\xAEz", "a\\u202Ez"},  // right-to-left override
      {"a\xC3\xA9z", "a\xC3\xA9z"},     // é stays
      {"\xF0\x9F\x90\x98", "\xF0\x9F\x90\x98"},
      {"a\xC3z", "a\\\\xC3z"},                                   // lead byte without its continuation
      {"a\xC0\xAFz", "a\\\\xC0\\\\xAFz"},                        // not the shortest form
      {"a\xED\xA0\x80z", "a\\\\xED\\\\xA0\\\\x80z"},             // surrogate
      {"a\xF4\x90\x80\x80z", "a\\\\xF4\\\\x90\\\\x80\\\\x80z"},  // above U+10FFFF
      {"\"},{\"status\":999", "\\\"},{\\\"status\\\":999"},
      {"back\\slash", "back\\\\slash"}};
  for (const auto& [text, written] : cases) {
    AccessRecord record = example();
    record.user_agent.assign(text);
    const std::string line = json_line(record);
    EXPECT_NE(line.find("\"user_agent\":\"" + written + "\""), std::string::npos) << line;
    EXPECT_EQ(boost::json::parse(line).as_object().at("status"), 200);
  }
}

TEST(JsonFormat, MarksCutFieldsAndNeverSplitsACharacter) {
  AccessRecord record = example();
  std::string agent(254, 'a');
  agent += "\xE2\x82\xAC tail";  // the third byte of the euro sign falls behind the end
  record.user_agent.assign(agent);
  record.path.assign(slash_and(3000));
  const auto parsed = boost::json::parse(json_line(record)).as_object();
  EXPECT_EQ(parsed.at("user_agent").as_string(), std::string(254, 'a') + "…");
  EXPECT_EQ(parsed.at("path").as_string(), slash_and(767) + "…");
  EXPECT_EQ(boost::json::serialize(parsed.at("cut")), "[\"path\",\"user_agent\"]");
}

TEST(JsonFormat, CarriesTheLongestRequestIdThatIsAcceptedWhole) {
  AccessRecord record = example();
  record.request_id.assign(std::string(128, 'i'));
  const auto parsed = boost::json::parse(json_line(record)).as_object();
  EXPECT_EQ(parsed.at("request_id").as_string(), std::string(128, 'i'));
  EXPECT_FALSE(parsed.contains("cut"));
}

TEST(JsonFormat, KeepsAWholeCharacterAtTheCut) {
  AccessRecord record = example();
  record.user_agent.assign(std::string(253, 'a') + "\xE2\x82\xAC" + "tail");
  const auto parsed = boost::json::parse(json_line(record)).as_object();
  EXPECT_EQ(parsed.at("user_agent").as_string(), std::string(253, 'a') + "\xE2\x82\xAC…");
}

TEST(JsonFormat, KeepsTimesInsideFourDigitYears) {
  const std::vector<std::pair<std::int64_t, std::string>> cases{{0, "1970-01-01T00:00:00.000Z"},
                                                                {-5, "1970-01-01T00:00:00.000Z"},
                                                                {951'782'400'000'000, "2000-02-29T00:00:00.000Z"},
                                                                {INT64_MAX, "9999-12-31T23:59:59.999Z"}};
  for (const auto& [instant, written] : cases) {
    AccessRecord record = example();
    record.unix_us = instant;
    EXPECT_EQ(boost::json::parse(json_line(record)).as_object().at("ts").as_string(), written);
  }
}

TEST(CombinedFormat, HasTheOrderOfApacheAndNginx) {
  EXPECT_EQ(combined_line(example()),
            "192.0.2.7 - - [22/Nov/2026:02:14:05 +0000] \"GET /a?b=c HTTP/1.1\" 200 2326 \"https://example.org/\" "
            "\"curl/7.88.1\"\n");
}

TEST(CombinedFormat, WritesDashesForWhatIsMissing) {
  AccessRecord record{};
  record.status = 400;
  EXPECT_EQ(combined_line(record), "- - - [01/Jan/1970:00:00:00 +0000] \"-\" 400 0 \"-\" \"-\"\n");
}

TEST(CombinedFormat, ParsesBackWithEveryByteInTheUserAgent) {
  AccessRecord record = example();
  for (int byte = 1; byte < 256; ++byte) {
    const std::string text{'a', static_cast<char>(byte), 'b'};
    record.user_agent.assign(text);
    record.referer.assign(text);
    const std::string line = combined_line(record);
    ASSERT_EQ(line.find('\n'), line.size() - 1) << byte;
    for (const char c : line.substr(0, line.size() - 1)) ASSERT_TRUE(c >= 0x20 && c <= 0x7E) << byte;
    const auto fields = quoted_fields(line);
    ASSERT_EQ(fields.size(), 3U) << byte;
    EXPECT_EQ(unescaped(fields[1]), text) << byte;
    EXPECT_EQ(unescaped(fields[2]), text) << byte;
  }
}

TEST(CombinedFormat, KeepsTheRequestLineThreeWordsLong) {
  AccessRecord record = example();
  record.path.assign("/with space\" 200");
  record.client_ip.assign("10.0.0.1 evil");
  const std::string line = combined_line(record);
  EXPECT_EQ(quoted_fields(line).at(0), "GET /with\\x20space\\x22\\x20200 HTTP/1.1");
  EXPECT_TRUE(line.starts_with("10.0.0.1\\x20evil - - [")) << line;
}

TEST(CombinedFormat, MarksCutTexts) {
  AccessRecord record = example();
  record.user_agent.assign(std::string(300, 'u'));
  EXPECT_EQ(quoted_fields(combined_line(record)).at(2), std::string(256, 'u') + "...");
}

TEST(Term, HasItsOwnWordForEveryValue) {
  std::set<std::string_view> words;
  for (int i = 0; i < static_cast<int>(Term::count); ++i) words.insert(name_of(static_cast<Term>(i)));
  EXPECT_EQ(words.size(), static_cast<std::size_t>(Term::count));
  EXPECT_FALSE(words.contains("unknown"));
  EXPECT_EQ(name_of(Term::no_available_endpoint), "no_available_endpoint");
}

}  // namespace
}  // namespace understudy::observe
