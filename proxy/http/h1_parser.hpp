// Strict, incremental, allocation-free HTTP/1.1 head parsers (RFC 9112). Bytes in, a head out; never sees a socket.
// The caller keeps one contiguous buffer from the head's first byte and calls again with more of it.
// The verdict does not depend on how the bytes were cut. After `done` a parser is ready for the next head; after `error` it
// stays in error until reset().
#pragma once

#include <cstdint>
#include <string_view>

#include "proxy/http/message.hpp"

namespace understudy::http {

class RequestParser {
public:
  // Offsets in the head are relative to buffer.data(). One leading CRLF is skipped (RFC 9112 §2.2).
  // done: head.head_bytes is what to consume. error: error() tells; never resynchronise.
  ParseStatus parse(std::string_view buffer, const HeadLimits& limits, RequestHead& head);
  ParseError error() const { return error_; }
  void reset() { *this = RequestParser{}; }

private:
  std::uint32_t scanned_ = 0;  // bytes already searched for the end of the head
  ParseError error_ = ParseError::none;
  bool request_line_read_ = false;  // then the target's length needs no more watching
};

class ResponseParser {
public:
  // `request_method` decides the framing (HEAD has no body whatever the fields say).
  ParseStatus parse(std::string_view buffer, const HeadLimits& limits, Method request_method, ResponseHead& head);
  ParseError error() const { return error_; }
  void reset() { *this = ResponseParser{}; }

private:
  std::uint32_t scanned_ = 0;
  ParseError error_ = ParseError::none;
};

}  // namespace understudy::http
