// The parsed form: known fields, marks, reuse of a head and a parser, and that none of it allocates.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "proxy/http/body.hpp"
#include "proxy/http/known.hpp"
#include "tests/http/forms.hpp"

namespace {
std::atomic<long> allocations{0};
}  // namespace

// Counts every allocation of this test binary. Not inlined, or the compiler sees a mismatch with free().
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void* operator new(std::size_t size,
                                     const std::nothrow_t&) noexcept {  // std::inplace_merge asks this way
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace understudy::http {
namespace {

TEST(KnownFields, AreFoundInAnyCaseAndNothingElseIs) {
  for (std::size_t i = 1; i < kKnownCount; ++i) {
    const std::string lower(kKnownNames[i]);
    std::string upper = lower;
    for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
    EXPECT_EQ(known_id(lower), static_cast<Known>(i)) << lower;
    EXPECT_EQ(known_id(upper), static_cast<Known>(i)) << upper;
    // One other character anywhere makes it another name.
    for (std::size_t at = 0; at < lower.size(); ++at) {
      for (const char c : std::string("!#$%&'*+-.^_`|~0189azAZ")) {
        std::string other = lower;
        other[at] = c;
        std::string folded = other;
        for (char& f : folded) f = static_cast<char>(f >= 'A' && f <= 'Z' ? f + 32 : f);
        if (folded == lower) continue;
        EXPECT_NE(known_id(other), static_cast<Known>(i)) << other;
      }
    }
    EXPECT_NE(known_id(lower + "x"), static_cast<Known>(i));
    EXPECT_NE(known_id(lower.substr(1)), static_cast<Known>(i));
  }
  EXPECT_EQ(known_id(""), Known::none);
  EXPECT_EQ(known_id(std::string(300, 'a')), Known::none);
}

TEST(RequestHead, MarksWhatMustNotTravel) {
  const ParsedRequest in(
      request("Connection: X-One, host, authorization\r\nX-One: 1\r\nAuthorization: s\r\nX_Two: 2\r\n"
              "X-Original-URL: /\r\nKeep-Alive: 1\r\n"));
  ASSERT_EQ(in.status, ParseStatus::done);
  for (std::size_t i = 0; i < in.head->fields.count; ++i) {
    const Field& f = in.head->fields.list[i];
    const std::string name(f.name.in(in.base()));
    EXPECT_EQ(f.hop_by_hop, name == "Connection" || name == "X-One" || name == "Keep-Alive") << name;
    EXPECT_EQ(f.drop, name == "X_Two" || name == "X-Original-URL") << name;
  }
  EXPECT_EQ(in.head->fields.find(Known::authorization)->value.in(in.base()), "s");
  EXPECT_EQ(in.head->fields.find(Known::cookie), nullptr);
  EXPECT_EQ(in.head->fields.value(Known::cookie, in.base()), "");
}

TEST(RequestHead, FirstOfSeveralIsIndexed) {
  const ParsedRequest in(request("Cookie: a\r\nAccept: x\r\nCookie: b\r\n"));
  EXPECT_EQ(in.head->fields.value(Known::cookie, in.base()), "a");
  EXPECT_EQ(in.all("cookie"), (std::vector<std::string>{"a", "b"}));
}

TEST(RequestParser, IsReadyForTheNextHeadAfterDone) {
  const std::string one = request("A: 1\r\n", "GET /one HTTP/1.1");
  const std::string two = request("Content-Length: 1\r\n", "POST /two HTTP/1.0");
  const std::string both = one + two;
  RequestParser parser;
  RequestHead head;
  ASSERT_EQ(parser.parse(both, {}, head), ParseStatus::done);
  EXPECT_EQ(head.head_bytes, one.size());
  const std::string_view rest = std::string_view(both).substr(head.head_bytes);
  ASSERT_EQ(parser.parse(rest.substr(0, 70 < rest.size() ? 70 : rest.size() - 1), {}, head), ParseStatus::need_more);
  ASSERT_EQ(parser.parse(rest, {}, head), ParseStatus::done);
  EXPECT_EQ(head.path.in(rest.data()), "/two");
  EXPECT_EQ(head.minor, 0);
  EXPECT_EQ(head.fields.count, 2);
}

TEST(RequestParser, StaysInErrorUntilReset) {
  RequestParser parser;
  RequestHead head;
  EXPECT_EQ(parser.parse("GET / HTTP/9.9\r\n\r\n", {}, head), ParseStatus::error);
  EXPECT_EQ(parser.parse(request(""), {}, head), ParseStatus::error);
  EXPECT_EQ(parser.error(), ParseError::unsupported_version);
  parser.reset();
  EXPECT_EQ(parser.parse(request(""), {}, head), ParseStatus::done);
  EXPECT_EQ(parser.error(), ParseError::none);
}

TEST(RequestParser, FieldsAboveTheHardCeilingAreRefusedWhateverTheLimit) {
  std::string lines;
  for (std::size_t i = 0; i < kMaxFields; ++i) lines += "a:\r\n";
  const ParsedRequest in(request(lines), {64 * 1024, 100'000, 8192});
  EXPECT_EQ(in.error, ParseError::too_many_fields);
}

TEST(ResponseParser, HeadIsClearedForEachResponse) {
  const std::string first = "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  const std::string second = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
  ResponseParser parser;
  ResponseHead head;
  ASSERT_EQ(parser.parse(first, {}, Method::get, head), ParseStatus::done);
  EXPECT_TRUE(head.upgrade_websocket);
  ASSERT_EQ(parser.parse(second, {}, Method::get, head), ParseStatus::done);
  EXPECT_FALSE(head.upgrade_websocket);
  EXPECT_EQ(head.fields.count, 1);
  EXPECT_EQ(head.fields.find(Known::upgrade), nullptr);
}

TEST(Methods, HaveNamesAndProperties) {
  EXPECT_EQ(name_of(Method::delete_), "DELETE");
  EXPECT_EQ(name_of(Method::other), "other");
  EXPECT_TRUE(is_safe(Method::head));
  EXPECT_FALSE(is_safe(Method::put));
  EXPECT_TRUE(is_idempotent(Method::put));
  EXPECT_FALSE(is_idempotent(Method::patch));
  EXPECT_FALSE(is_idempotent(Method::other));
}

TEST(Codec, AllocatesNothing) {
  const std::string raw = request("Accept: text/html,*/*;q=0.8\r\nCookie: " + std::string(300, 'c') +
                                      "\r\nConnection: keep-alive, X-A\r\nX-A: 1\r\nX-Forwarded-For: "
                                      "1.2.3.4\r\nTransfer-Encoding: chunked\r\n",
                                  "POST /a/long/path?with=query HTTP/1.1");
  const std::string answer_raw = "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n";
  std::string body = "5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n";
  const std::vector<config::HeaderRule> rules = {{config::HeaderOp::set, "X-Rule", "1"}};
  std::vector<char> area(16 * 1024);
  const auto head = std::make_unique<RequestHead>();
  const auto response = std::make_unique<ResponseHead>();
  RequestRewrite rewrite;
  rewrite.peer_ip = rewrite.client_ip = "192.0.2.1";
  rewrite.request_id = "id-12345678";
  rewrite.trusted = true;
  rewrite.rules = rules;
  rewrite.strip_prefix = "/a";
  OwnAnswer own;
  own.status = 503;
  own.sentence = "No.";

  const long before = allocations.load();
  RequestParser parser;
  const ParseStatus cut = parser.parse(std::string_view(raw).substr(0, 100), {}, *head);
  const ParseStatus whole = parser.parse(raw, {}, *head);
  Out out{area.data(), area.size()};
  const bool request_written = write_request(out, *head, raw.data(), rewrite);
  BodyDecoder decoder = BodyDecoder::make(Framing::chunked, 0, UINT64_MAX);
  const bool decoded = decoder.decode(body.data(), body.size()).done;
  ResponseParser response_parser;
  const ParseStatus answered = response_parser.parse(answer_raw, {}, Method::post, *response);
  Out back{area.data(), area.size()};
  ResponseRewrite response_rewrite;
  response_rewrite.framing = response->framing;
  response_rewrite.rules = rules;
  const bool response_written = write_response(back, *response, answer_raw.data(), response_rewrite);
  Out page{area.data(), area.size()};
  const bool answer_written = write_answer(page, own, "application/json");
  const long after = allocations.load();

  EXPECT_EQ(after, before);
  EXPECT_EQ(cut, ParseStatus::need_more);
  EXPECT_EQ(whole, ParseStatus::done);
  EXPECT_EQ(answered, ParseStatus::done);
  EXPECT_TRUE(request_written && decoded && response_written && answer_written);
}

TEST(Codec, CountsAllocationsAtAll) {
  const long before = allocations.load();
  const auto one = std::make_unique<int>(1);
  EXPECT_GT(allocations.load(), before) << *one;
}

}  // namespace
}  // namespace understudy::http
