// Raw bytes on one side, their meaning as one line of text on the other; fed whole, byte by byte and cut at
// every place.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http/body.hpp"
#include "proxy/http/h1_parser.hpp"

namespace understudy::http::rows {

inline std::string printable(std::string_view raw) {
  std::string text;
  for (const char c : raw.substr(0, 600)) {
    if (c == '\r') {
      text += "\\r";
    } else if (c == '\n') {
      text += "\\n\n";
    } else if (c < 0x20 || c > 0x7e) {
      static constexpr char hex[] = "0123456789abcdef";
      text += "\\x";
      text += hex[static_cast<unsigned char>(c) >> 4];
      text += hex[static_cast<unsigned char>(c) & 15];
    } else {
      text += c;
    }
  }
  if (raw.size() > 600) text += "… (" + std::to_string(raw.size()) + " bytes)";
  return text;
}

inline std::string framing_text(Framing framing, std::uint64_t length) {
  switch (framing) {
    case Framing::none: return "none";
    case Framing::length: return "length:" + std::to_string(length);
    case Framing::chunked: return "chunked";
    case Framing::until_close: return "until_close";
  }
  return "?";
}

// "GET /path?query @host:80 none keep 1.1 +expect +websocket"
inline std::string meaning(const RequestHead& head, const char* base) {
  std::string text(head.method_text.in(base));
  text += ' ';
  text += head.path.in(base);
  if (head.has_query) {
    text += '?';
    text += head.query.in(base);
  }
  text += " @";
  text += head.authority.in(base);
  text += ' ';
  text += framing_text(head.framing, head.content_length);
  text += head.keep_alive ? " keep" : " close";
  text += head.minor == 1 ? " 1.1" : " 1.0";
  if (head.expect_continue) text += " +expect";
  if (head.upgrade == UpgradeKind::websocket) text += " +websocket";
  if (head.upgrade == UpgradeKind::other) text += " +other";
  return text;
}

// "200 OK length:5 keep 1.1 has_length:5 +websocket"
inline std::string meaning(const ResponseHead& head, const char* base) {
  std::string text = std::to_string(head.status) + ' ';
  text += head.reason.in(base);
  text += ' ';
  text += framing_text(head.framing, head.content_length);
  text += head.keep_alive ? " keep" : " close";
  text += head.minor == 1 ? " 1.1" : " 1.0";
  if (head.has_content_length && head.framing != Framing::length) {
    text += " describes:" + std::to_string(head.content_length);
  }
  if (head.upgrade_websocket) text += " +websocket";
  return text;
}

struct Verdict {
  std::string text;       // meaning, "error:KIND" or "more"
  std::size_t bytes = 0;  // head bytes when done
  bool operator==(const Verdict&) const = default;
};

// Feeds the prefixes of the given sizes in turn. Each prefix is a fresh allocation of exactly its size, so
// that a sanitizer sees reads beyond it and no parser can rely on the old place.
template <class Head, class Parse>
Verdict feed(std::string_view raw, const std::vector<std::size_t>& sizes, Parse&& parse, ParseError (*error_of)(void*),
             void* parser) {
  auto head = std::make_unique<Head>();
  for (const std::size_t size : sizes) {
    const std::vector<char> bytes(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(size));
    switch (parse(std::string_view(bytes.data(), bytes.size()), *head)) {
      case ParseStatus::need_more: break;
      case ParseStatus::error: return {"error:" + std::string(kind_of(error_of(parser))), 0};
      case ParseStatus::done: return {meaning(*head, bytes.data()), head->head_bytes};
    }
  }
  return {"more", 0};
}

inline Verdict feed_request(std::string_view raw, const std::vector<std::size_t>& sizes,
                            const HeadLimits& limits = {}) {
  RequestParser parser;
  return feed<RequestHead>(
      raw, sizes, [&](std::string_view buffer, RequestHead& head) { return parser.parse(buffer, limits, head); },
      [](void* p) { return static_cast<RequestParser*>(p)->error(); }, &parser);
}

inline Verdict feed_response(std::string_view raw, const std::vector<std::size_t>& sizes, Method method,
                             const HeadLimits& limits = {}) {
  ResponseParser parser;
  return feed<ResponseHead>(
      raw, sizes,
      [&](std::string_view buffer, ResponseHead& head) { return parser.parse(buffer, limits, method, head); },
      [](void* p) { return static_cast<ResponseParser*>(p)->error(); }, &parser);
}

// Ways to cut `size` bytes: whole, one by one, at every place in two. Long inputs are cut at fewer places.
inline std::vector<std::vector<std::size_t>> cuts(std::size_t size) {
  std::vector<std::vector<std::size_t>> ways{{size}};
  const std::size_t step = size <= 700 ? 1 : size / 97;
  std::vector<std::size_t> small;
  for (std::size_t i = 1; i <= size; i += step) {
    small.push_back(i);
    if (i < size) ways.push_back({i, size});
  }
  if (small.empty() || small.back() != size) small.push_back(size);
  ways.push_back(small);
  return ways;
}

inline std::string cut_text(const std::vector<std::size_t>& way) {
  if (way.size() == 1) return "whole";
  return way.size() == 2 ? "cut at " + std::to_string(way[0]) : "in small pieces";
}

struct BodyVerdict {
  std::string payload;
  std::size_t consumed = 0;
  std::string end;  // "done", "more" or "error:KIND"
  bool operator==(const BodyVerdict&) const = default;
};

// Feeds a body in the pieces that end at the given sizes.
inline BodyVerdict feed_body(std::string_view raw, const std::vector<std::size_t>& sizes, BodyDecoder decoder) {
  BodyVerdict verdict;
  std::size_t from = 0;
  for (const std::size_t to : sizes) {
    std::vector<char> piece(raw.begin() + static_cast<std::ptrdiff_t>(from),
                            raw.begin() + static_cast<std::ptrdiff_t>(to));
    const DecodeResult result = decoder.decode(piece.data(), piece.size());
    verdict.payload.append(piece.data(), result.payload);
    verdict.consumed += result.consumed;
    if (result.error != ParseError::none) {
      verdict.end = "error:" + std::string(kind_of(result.error));
      return verdict;
    }
    if (result.done) {
      verdict.end = "done";
      return verdict;
    }
    if (result.consumed != piece.size()) verdict.end = "stuck";
    from = to;
  }
  verdict.end = verdict.end.empty() ? "more" : verdict.end;
  return verdict;
}

}  // namespace understudy::http::rows
