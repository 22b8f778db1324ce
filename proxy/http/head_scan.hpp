// The part of head parsing that requests and responses share: the field section, and what a scan remembers.
// Internal to proxy/http.
//
// Every verdict is a function of a prefix of the bytes, so that it does not depend on how they arrive: an
// error inside a line counts only once that line's LF is there, except where a comment says that it counts at
// once.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "proxy/http/known.hpp"
#include "proxy/http/message.hpp"

namespace understudy::http {

struct HeadScan {
  const char* base = nullptr;
  const char* at = nullptr;
  const char* end = nullptr;  // of the window: never beyond HeadLimits::max_bytes
  ParseError error = ParseError::none;
  KnownSet seen;      // fields present
  KnownSet repeated;  // fields present more than once

  ParseStatus fail_now(ParseError why) {
    error = why;
    return ParseStatus::error;
  }
  // An error at `where`; counts when its line is complete.
  ParseStatus fail(ParseError why, const char* where) {
    if (std::memchr(where, '\n', static_cast<std::size_t>(end - where)) == nullptr) return ParseStatus::need_more;
    return fail_now(why);
  }
  Span span(const char* from, const char* to) const {
    return {static_cast<std::uint32_t>(from - base), static_cast<std::uint32_t>(to - from)};
  }
};

// Reads fields from scan.at to behind the empty line. `request` marks fields that must not be forwarded as
// `drop`.
ParseStatus parse_fields(HeadScan& scan, Fields& fields, std::uint32_t max_fields, bool request);

// What Connection says. Marks nominated fields as hop_by_hop.
struct ConnectionOptions {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  bool too_many = false;  // more nominations than we are willing to work through
};
ConnectionOptions read_connection(const HeadScan& scan, Fields& fields);

// Judges Content-Length and Transfer-Encoding. `none` when neither is there.
struct BodyFields {
  Framing framing = Framing::none;
  std::uint64_t length = 0;
  ParseError error = ParseError::none;
};
BodyFields read_body_fields(const HeadScan& scan, const Fields& fields, std::uint8_t minor);

// Canonical or zero-led decimal of at most 2^63-1, digits only.
bool parse_content_length(std::string_view text, std::uint64_t& length);

// True if any field of this id lists `wanted`.
bool fields_list(const Fields& fields, const char* base, Known id, std::string_view wanted);

}  // namespace understudy::http
