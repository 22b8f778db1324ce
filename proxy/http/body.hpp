// Body decoding by the head's framing: none, length, chunked (strict, RFC 9112 §7.1), or until close.
// In place: payload is compacted to the front of the given bytes, so a block holds one contiguous payload afterwards.
#pragma once

#include <cstddef>
#include <cstdint>

#include "proxy/http/message.hpp"

namespace understudy::http {

struct DecodeResult {
  std::size_t consumed = 0;  // wire bytes used; the rest follows the message (pipelined or surplus)
  std::size_t payload = 0;   // payload now stands in [data, data + payload)
  bool done = false;         // the body ended inside `consumed`
  ParseError error = ParseError::none;
};

class BodyDecoder {
public:
  BodyDecoder() = default;
  static BodyDecoder make(Framing framing, std::uint64_t length, std::uint64_t max_body_bytes);  // UINT64_MAX: no limit

  // Works on any split of the input, one byte at a time too. With Framing::none it is done at once with consumed 0.
  // After an error the payload before it stands, every further call gives the same error, and nothing may be resynchronised.
  // Trailers are parsed with the header rules, limited (8 KiB, 64 fields) and dropped.
  DecodeResult decode(char* data, std::size_t size);
  // Connection closed by the sender: true if that is a proper end (until_close), false if the body was cut.
  bool finish_at_eof();
  bool done() const { return state_ == State::done; }
  Framing framing() const { return framing_; }
  // Bytes still to come for Framing::length, else 0.
  std::uint64_t remaining() const { return framing_ == Framing::length ? left_ : 0; }

private:
  enum class State : std::uint8_t {
    data,
    size,
    extension,
    size_lf,
    data_end_cr,
    data_end_lf,
    trailer,  // at the start of a trailer line, or of the empty line that ends the message
    trailer_name,
    trailer_value,
    trailer_lf,
    final_lf,
    failed,
    done
  };
  struct Cursor;
  ParseError fail(ParseError error) {
    state_ = State::failed;
    return error_ = error;
  }
  DecodeResult decode_plain(std::size_t size);
  ParseError decode_chunked(Cursor& c);
  ParseError begin_chunk(std::uint64_t size);
  ParseError read_size(Cursor& c);
  ParseError read_extension(Cursor& c);
  ParseError read_trailer(Cursor& c);
  State state_ = State::done;
  Framing framing_ = Framing::none;
  std::uint64_t left_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t max_ = UINT64_MAX;
  std::uint32_t digits_ = 0;
  std::uint32_t extension_line_ = 0;
  std::uint32_t extension_total_ = 0;
  std::uint32_t trailer_bytes_ = 0;
  std::uint32_t trailer_line_ = 0;  // fields so far
  ParseError error_ = ParseError::none;
};
static_assert(sizeof(BodyDecoder) <= 96);

// Writes "SIZE\r\n" (first) or "\r\nSIZE\r\n" in hex before a chunk's payload; returns the length (at most 20).
std::size_t write_chunk_prefix(char* out, std::uint64_t size, bool first);
// "0\r\n\r\n" or, after a chunk, "\r\n0\r\n\r\n".
std::size_t write_last_chunk(char* out, bool first);

}  // namespace understudy::http
