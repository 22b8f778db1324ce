// Short ways to parse and rewrite in tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http/h1_parser.hpp"
#include "proxy/http/writer.hpp"

namespace understudy::http {

struct ParsedRequest {
  std::string raw;
  std::unique_ptr<RequestHead> head = std::make_unique<RequestHead>();
  ParseStatus status = ParseStatus::need_more;
  ParseError error = ParseError::none;

  explicit ParsedRequest(std::string bytes, HeadLimits limits = {64 * 1024, 256, 32 * 1024}) : raw(std::move(bytes)) {
    RequestParser parser;
    status = parser.parse(raw, limits, *head);
    error = parser.error();
  }
  const char* base() const { return raw.data(); }
  // Values of all fields of this name, in order.
  std::vector<std::string> all(std::string_view name) const {
    std::vector<std::string> values;
    for (std::size_t i = 0; i < head->fields.count; ++i) {
      const Field& f = head->fields.list[i];
      std::string lower(f.name.in(base()));
      for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
      if (lower == name) values.emplace_back(f.value.in(base()));
    }
    return values;
  }
  // The only value, "-" if there is none, "several" if there is more than one.
  std::string one(std::string_view name) const {
    const auto values = all(name);
    return values.empty() ? "-" : values.size() > 1 ? "several" : values.front();
  }
};

struct ParsedResponse {
  std::string raw;
  std::unique_ptr<ResponseHead> head = std::make_unique<ResponseHead>();
  ParseStatus status = ParseStatus::need_more;

  explicit ParsedResponse(std::string bytes, Method method = Method::get) : raw(std::move(bytes)) {
    ResponseParser parser;
    status = parser.parse(raw, {64 * 1024, 256, 0}, method, *head);
  }
  const char* base() const { return raw.data(); }
};

inline std::string written(const ParsedRequest& request, const RequestRewrite& rewrite) {
  std::vector<char> area(32 * 1024);
  Out out{area.data(), area.size()};
  EXPECT_TRUE(write_request(out, *request.head, request.base(), rewrite));
  return std::string(out.view());
}

inline std::string written(const ParsedResponse& response, const ResponseRewrite& rewrite) {
  std::vector<char> area(32 * 1024);
  Out out{area.data(), area.size()};
  EXPECT_TRUE(write_response(out, *response.head, response.base(), rewrite));
  return std::string(out.view());
}

inline std::string written(const OwnAnswer& answer, std::string_view accept) {
  std::vector<char> area(32 * 1024);
  Out out{area.data(), area.size()};
  EXPECT_TRUE(write_answer(out, answer, accept));
  return std::string(out.view());
}

inline std::string request(const std::string& lines, const std::string& first = "GET / HTTP/1.1") {
  return first + "\r\nHost: a\r\n" + lines + "\r\n";
}

}  // namespace understudy::http
