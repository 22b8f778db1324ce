#include "proxy/http/body.hpp"

#include <algorithm>
#include <cstring>

#include "proxy/http/chars.hpp"

namespace understudy::http {

namespace {

constexpr std::uint32_t kMaxSizeDigits = 16;
constexpr std::uint32_t kMaxExtensionLine = 256;
constexpr std::uint32_t kMaxExtensionTotal = 4096;
constexpr std::uint32_t kMaxTrailerBytes = 8192;
constexpr std::uint32_t kMaxTrailerFields = 64;

}  // namespace

// Reads from `read`, compacts payload to `write`; write <= read always.
struct BodyDecoder::Cursor {
  const char* read;
  const char* end;
  char* write;
};

BodyDecoder BodyDecoder::make(Framing framing, std::uint64_t length, std::uint64_t max_body_bytes) {
  BodyDecoder decoder;
  decoder.framing_ = framing;
  decoder.max_ = max_body_bytes;
  switch (framing) {
    case Framing::none: break;
    case Framing::length:
      if (length > max_body_bytes) {
        decoder.fail(ParseError::body_too_large);
      } else if (length > 0) {
        decoder.state_ = State::data;
        decoder.left_ = length;
      }
      break;
    case Framing::chunked: decoder.state_ = State::size; break;
    case Framing::until_close: decoder.state_ = State::data; break;
  }
  return decoder;
}

DecodeResult BodyDecoder::decode(char* data, std::size_t size) {
  if (state_ == State::done) return {0, 0, true, ParseError::none};
  if (state_ == State::failed) return {0, 0, false, error_};
  if (framing_ != Framing::chunked) return decode_plain(size);
  Cursor c{data, data + size, data};
  const ParseError error = decode_chunked(c);
  return {static_cast<std::size_t>(c.read - data), static_cast<std::size_t>(c.write - data), state_ == State::done,
          error};
}

DecodeResult BodyDecoder::decode_plain(std::size_t size) {
  if (framing_ == Framing::length) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(size, left_));
    left_ -= n;
    if (left_ == 0) state_ = State::done;
    return {n, n, state_ == State::done, ParseError::none};
  }
  const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(size, max_ - total_));
  total_ += n;
  return {n, n, false, n < size ? fail(ParseError::body_too_large) : ParseError::none};
}

// RFC 9112 §7.1, CR LF only, no blanks around the size. Where others look for a lone LF, we have already
// refused.
ParseError BodyDecoder::decode_chunked(Cursor& c) {
  while (c.read != c.end && state_ != State::done) {
    ParseError error = ParseError::none;
    switch (state_) {
      case State::size: error = read_size(c); break;
      case State::extension: error = read_extension(c); break;
      case State::size_lf:
        if (*c.read != '\n') return fail(ParseError::bad_line_end);
        ++c.read;
        error = begin_chunk(left_);
        break;
      case State::data: {
        const auto n =
            static_cast<std::size_t>(std::min<std::uint64_t>(static_cast<std::size_t>(c.end - c.read), left_));
        if (c.write != c.read) std::memmove(c.write, c.read, n);
        c.write += n;
        c.read += n;
        left_ -= n;
        if (left_ == 0) state_ = State::data_end_cr;
        break;
      }
      case State::data_end_cr:
        if (*c.read != '\r') return fail(ParseError::bad_chunk_end);
        ++c.read;
        state_ = State::data_end_lf;
        break;
      case State::data_end_lf:
        if (*c.read != '\n') return fail(ParseError::bad_chunk_end);
        ++c.read;
        state_ = State::size;
        break;
      case State::trailer:
      case State::trailer_name:
      case State::trailer_value:
      case State::trailer_lf:
      case State::final_lf: error = read_trailer(c); break;
      case State::failed:
      case State::done: return error_;
    }
    if (error != ParseError::none) return error;
  }
  return ParseError::none;
}

ParseError BodyDecoder::read_size(Cursor& c) {
  while (c.read != c.end) {
    const char ch = *c.read;
    const int v = chars::hex_value(ch);
    if (v < 0) {
      if (digits_ == 0) return fail(ParseError::bad_chunk_size);
      switch (ch) {
        case '\r': state_ = State::size_lf; break;
        case ';':
          state_ = State::extension;
          extension_line_ = 0;
          return ParseError::none;  // the ';' is counted there
        case '\n': return fail(ParseError::bad_line_end);
        default: return fail(ParseError::bad_chunk_size);
      }
      ++c.read;
      return ParseError::none;
    }
    // Sixteen digits fit; the value itself must stay below 2^63.
    if (++digits_ > kMaxSizeDigits) return fail(ParseError::bad_chunk_size);
    left_ = left_ << 4 | static_cast<std::uint64_t>(v);
    if (left_ > static_cast<std::uint64_t>(INT64_MAX)) return fail(ParseError::bad_chunk_size);
    ++c.read;
  }
  return ParseError::none;
}

ParseError BodyDecoder::read_extension(Cursor& c) {
  while (c.read != c.end) {
    const char ch = *c.read;
    if (ch == '\r') {
      ++c.read;
      state_ = State::size_lf;
      return ParseError::none;
    }
    if (ch == '\n') return fail(ParseError::bad_line_end);
    if (!chars::is(ch, chars::visible)) return fail(ParseError::bad_chunk_extension);
    if (++extension_line_ > kMaxExtensionLine || ++extension_total_ > kMaxExtensionTotal) {
      return fail(ParseError::chunk_extension_too_long);
    }
    ++c.read;
  }
  return ParseError::none;
}

ParseError BodyDecoder::begin_chunk(std::uint64_t size) {
  digits_ = 0;
  if (size == 0) {
    state_ = State::trailer;
    return ParseError::none;
  }
  if (size > max_ - total_) return fail(ParseError::body_too_large);
  if (size > static_cast<std::uint64_t>(INT64_MAX) - total_) return fail(ParseError::bad_chunk_size);
  total_ += size;
  state_ = State::data;
  return ParseError::none;
}

// The header rules of RFC 9112 §5 byte by byte; nothing is kept.
ParseError BodyDecoder::read_trailer(Cursor& c) {
  while (c.read != c.end && state_ != State::done) {
    const char ch = *c.read;
    if (++trailer_bytes_ > kMaxTrailerBytes) return fail(ParseError::trailer_too_large);
    switch (state_) {
      case State::trailer:
        if (ch == '\r') {
          state_ = State::final_lf;
          break;
        }
        if (!chars::is(ch, chars::token)) return fail(ParseError::bad_trailer);
        if (++trailer_line_ > kMaxTrailerFields) return fail(ParseError::trailer_too_large);
        state_ = State::trailer_name;
        break;
      case State::trailer_name:
        if (ch == ':') {
          state_ = State::trailer_value;
        } else if (!chars::is(ch, chars::token)) {
          return fail(ParseError::bad_trailer);
        }
        break;
      case State::trailer_value:
        if (ch == '\r') {
          state_ = State::trailer_lf;
        } else if (!chars::is(ch, chars::value)) {
          return fail(ParseError::bad_trailer);
        }
        break;
      case State::trailer_lf:
        if (ch != '\n') return fail(ParseError::bad_trailer);
        state_ = State::trailer;
        break;
      default:  // final_lf
        if (ch != '\n') return fail(ParseError::bad_trailer);
        state_ = State::done;
        break;
    }
    ++c.read;
  }
  return ParseError::none;
}

bool BodyDecoder::finish_at_eof() {
  if (framing_ == Framing::until_close && state_ == State::data) state_ = State::done;
  return state_ == State::done;
}

std::size_t write_chunk_prefix(char* out, std::uint64_t size, bool first) {
  char* p = out;
  if (!first) {
    *p++ = '\r';
    *p++ = '\n';
  }
  int digits = 1;
  while (digits < 16 && (size >> (4 * digits)) != 0) ++digits;
  for (int i = digits - 1; i >= 0; --i) *p++ = chars::kHexDigits[(size >> (4 * i)) & 0xf];
  *p++ = '\r';
  *p++ = '\n';
  return static_cast<std::size_t>(p - out);
}

std::size_t write_last_chunk(char* out, bool first) {
  static constexpr std::string_view text = "\r\n0\r\n\r\n";
  const std::string_view used = first ? text.substr(2) : text;
  std::memcpy(out, used.data(), used.size());
  return used.size();
}

}  // namespace understudy::http
