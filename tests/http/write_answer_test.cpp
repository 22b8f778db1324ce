// Our own answers: form by Accept, HEAD, redirects, nothing that could split a head.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/http/forms.hpp"

namespace understudy::http {
namespace {

using config::HeaderOp;
using config::HeaderRule;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

OwnAnswer unavailable() {
  OwnAnswer answer;
  answer.status = 503;
  answer.reason = "no_available_endpoint";
  answer.sentence = "No server is <available> & \"ready\".";
  answer.request_id = "id-1";
  answer.retry_after = 5;
  return answer;
}

TEST(WriteAnswer, JsonIsExactlyThis) {
  EXPECT_EQ(written(unavailable(), "application/json"),
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 118\r\n"
            "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nX-Request-Id: "
            "id-1\r\nRetry-After: 5\r\n\r\n"
            "{\"status\":503,\"reason\":\"no_available_endpoint\",\"message\":\"No server is <available> & "
            "\\\"ready\\\".\",\"request_id\":\"id-1\"}\n");
}

TEST(WriteAnswer, HtmlIsEscapedAndNamesNoVersion) {
  const std::string out = written(unavailable(), "text/html");
  EXPECT_THAT(out, HasSubstr("Content-Type: text/html; charset=utf-8\r\n"));
  EXPECT_THAT(out, HasSubstr("No server is &lt;available&gt; &amp; &quot;ready&quot;."));
  EXPECT_THAT(out, HasSubstr("Request id: id-1"));
  EXPECT_THAT(out, Not(HasSubstr(UNDERSTUDY_VERSION)));
}

TEST(WriteAnswer, LengthIsRightInEveryForm) {
  for (const char* accept : {"application/json", "text/html", ""}) {
    for (const char* sentence : {"", "x", "<&>\"'\x01\x7f\xff\\\n"}) {
      OwnAnswer answer = unavailable();
      answer.sentence = sentence;
      const ParsedResponse out(written(answer, accept));
      ASSERT_EQ(out.status, ParseStatus::done);
      EXPECT_EQ(out.head->framing, Framing::length);
      EXPECT_EQ(out.head->head_bytes + out.head->content_length, out.raw.size());
    }
  }
}

TEST(WriteAnswer, AcceptDecidesTheForm) {
  struct Row {
    const char* accept;
    bool json;
  };
  const Row rows[] = {{"", false},
                      {"*/*", false},
                      {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", false},
                      {"application/json", true},
                      {"APPLICATION/JSON", true},
                      {"application/json, text/plain, */*", true},
                      {"application/json;q=0.5, text/html", false},
                      {"text/html;q=0.5, application/json", true},
                      {"text/html;q=0.5, application/json;q=0.9", true},
                      {"application/json, text/html", true},
                      {"text/html, application/json", false},
                      {"application/problem+json", true},
                      {"application/*", true},
                      {"application/*;q=0.3, text/*;q=0.2", true},
                      {"text/*", false},
                      {"text/html;q=0, */*", true},
                      {"application/json;q=0", false},
                      {"application/json;q=0, */*", false},
                      {"application/json; charset=utf-8; q=1.0", true},
                      {"application/json;q=nonsense", true},
                      {"image/png", false},
                      {",,, ,", false}};
  for (const Row& row : rows) {
    const bool json = written(unavailable(), row.accept).find("application/json\r\n") != std::string::npos;
    EXPECT_EQ(json, row.json) << row.accept;
  }
}

TEST(WriteAnswer, AnswerToHeadHasTheHeadOnly) {
  OwnAnswer answer = unavailable();
  const std::string full = written(answer, "");
  answer.head_only = true;
  const std::string head = written(answer, "");
  EXPECT_THAT(head, EndsWith("\r\n\r\n"));
  EXPECT_EQ(full.substr(0, head.size()), head);
  EXPECT_GT(full.size(), head.size());
}

TEST(WriteAnswer, RedirectTargetsCannotSplit) {
  OwnAnswer answer;
  answer.status = 308;
  answer.location = "https://a/%0d%0aX:1\r\nX-Evil: 1 \x7f\xff\"<>?q#f";
  const std::string out = written(answer, "");
  EXPECT_THAT(out, StartsWith("HTTP/1.1 308 Permanent Redirect\r\n"));
  EXPECT_THAT(out, HasSubstr("Location: https://a/%0d%0aX:1%0d%0aX-Evil:%201%20%7f%ff%22%3c%3e?q#f\r\n"));
  EXPECT_THAT(out, Not(HasSubstr("\r\nX-Evil")));
}

TEST(WriteAnswer, FixedResponseIsSentAsItIs) {
  OwnAnswer answer;
  answer.status = 200;
  answer.content_type = "text/plain";
  answer.body = "hello\r\n<b>";
  EXPECT_EQ(written(answer, "application/json"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\nX-Content-Type-Options: "
            "nosniff\r\n"
            "Cache-Control: no-store\r\n\r\nhello\r\n<b>");
  answer.content_type = "text/plain\r\nX-Evil: 1";
  EXPECT_THAT(written(answer, ""), Not(HasSubstr("X-Evil")));
}

TEST(WriteAnswer, NoContentHasNoBodyAndNoLength) {
  for (const std::uint16_t status : {204, 304}) {
    OwnAnswer answer;
    answer.status = status;
    answer.content_type = "text/plain";
    answer.body = "x";
    const std::string out = written(answer, "");
    EXPECT_THAT(out, EndsWith("\r\n\r\n"));
    EXPECT_THAT(out, Not(HasSubstr("Content-Length")));
  }
}

TEST(WriteAnswer, CloseAllowAndRules) {
  const std::vector<HeaderRule> rules = {{HeaderOp::set, "Cache-Control", "max-age=60"},
                                         {HeaderOp::add, "X-A", "1"},
                                         {HeaderOp::set, "Content-Length", "1"},
                                         {HeaderOp::remove, "Retry-After", ""}};
  OwnAnswer answer = unavailable();
  answer.status = 405;
  answer.allow = "GET, HEAD";
  answer.close = true;
  answer.rules = rules;
  const ParsedResponse out(written(answer, ""));
  ASSERT_EQ(out.status, ParseStatus::done);
  EXPECT_THAT(out.raw, HasSubstr("Allow: GET, HEAD\r\n"));
  EXPECT_THAT(out.raw, HasSubstr("Cache-Control: max-age=60\r\n"));
  EXPECT_THAT(out.raw, Not(HasSubstr("no-store")));
  EXPECT_THAT(out.raw, Not(HasSubstr("Retry-After")));
  EXPECT_THAT(out.raw, HasSubstr("X-A: 1\r\n"));
  EXPECT_FALSE(out.head->keep_alive);
  EXPECT_EQ(out.head->head_bytes + out.head->content_length, out.raw.size());
}

TEST(WriteAnswer, OddIdsAreLeftOutOfTheHead) {
  OwnAnswer answer = unavailable();
  answer.request_id = "a\r\nX-Evil: 1";
  const std::string out = written(answer, "text/html");
  EXPECT_THAT(out, Not(HasSubstr("X-Request-Id")));
  EXPECT_THAT(out, Not(HasSubstr("\nX-Evil")));
}

TEST(WriteAnswer, EveryParseErrorHasAnAnswer) {
  for (std::size_t i = 1; i < static_cast<std::size_t>(ParseError::count); ++i) {
    const auto error = static_cast<ParseError>(i);
    OwnAnswer answer;
    answer.status = status_of(error);
    answer.reason = kind_of(error);
    answer.sentence = sentence_of(error);
    answer.close = true;
    EXPECT_GE(answer.status, 400) << answer.reason;
    EXPECT_FALSE(answer.reason.empty());
    EXPECT_THAT(std::string(answer.sentence), EndsWith("."));
    const ParsedResponse out(written(answer, "application/json"));
    EXPECT_EQ(out.status, ParseStatus::done);
    EXPECT_EQ(out.head->status, answer.status);
  }
}

TEST(ParseErrors, HaveTheStatusesOfTheTable) {
  EXPECT_EQ(status_of(ParseError::method_not_allowed), 405);
  EXPECT_EQ(status_of(ParseError::body_too_large), 413);
  EXPECT_EQ(status_of(ParseError::uri_too_long), 414);
  EXPECT_EQ(status_of(ParseError::bad_expect), 417);
  EXPECT_EQ(status_of(ParseError::head_too_large), 431);
  EXPECT_EQ(status_of(ParseError::too_many_fields), 431);
  EXPECT_EQ(status_of(ParseError::unknown_transfer_coding), 501);
  EXPECT_EQ(status_of(ParseError::unsupported_version), 505);
  EXPECT_EQ(status_of(ParseError::length_and_chunked), 400);
  EXPECT_EQ(status_of(ParseError::http2_preface), 400);
  EXPECT_EQ(kind_of(ParseError::http2_preface), "http2_preface");
  EXPECT_EQ(kind_of(ParseError::tls_on_plain), "tls_on_plain");
}

TEST(ReasonPhrases, FallBackToTheClass) {
  EXPECT_EQ(reason_phrase(503), "Service Unavailable");
  EXPECT_EQ(reason_phrase(299), "Success");
  EXPECT_EQ(reason_phrase(599), "Server Error");
  EXPECT_EQ(reason_phrase(999), "Status");
}

}  // namespace
}  // namespace understudy::http
