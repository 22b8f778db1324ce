#include "proxy/route/path_reading.hpp"

namespace understudy::route {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_plain(std::string_view path) {
  const char* p = path.data();
  const char* const end = p + path.size();
  char previous = 0;
  for (; p != end; ++p) {
    const char c = *p;
    if (c == '%' || c == '\\' || c == ';') return false;
    if (c == '\0' || static_cast<unsigned char>(c) > 0x7F) return false;  // parsers refuse them; not left to that
    if (previous == '/' && (c == '/' || c == '.')) return false;
    previous = c;
  }
  return true;
}

// A longer UTF-8 form of a character that has a shorter one; lenient decoders take %c0%af for '/'.
bool is_overlong(unsigned lead, unsigned next) {
  if (lead == 0xC0 || lead == 0xC1) return next >= 0x80 && next <= 0xBF;
  if (lead == 0xE0) return next >= 0x80 && next <= 0x9F;
  if (lead == 0xF0) return next >= 0x80 && next <= 0x8F;
  return false;
}

// Follows one segment, as delimited by any slash, encoded or not.
struct SegmentWatch {
  std::size_t length = 0;  // bytes before the first ';'
  bool only_dots = true;
  bool escaped_dot = false;
  bool semicolon = false;
  std::size_t dots_after_semicolon = 0;
  bool semicolon_dots = false;

  void byte(char c, bool escaped) {
    if (c == ';') {
      semicolon = true;
      dots_after_semicolon = 0;
    } else if (semicolon) {
      dots_after_semicolon = c == '.' && dots_after_semicolon != kPast ? dots_after_semicolon + 1 : kPast;
      if (dots_after_semicolon == 2) semicolon_dots = true;
    } else {
      ++length;
      only_dots = only_dots && c == '.';
      escaped_dot = escaped_dot || (c == '.' && escaped);
    }
  }

  void finish(bool last, PathTraits& traits) {
    const bool dot_segment = only_dots && (length == 1 || length == 2);
    if (semicolon) traits.params = true;
    if (dot_segment) traits.dots = true;
    if (dot_segment && (escaped_dot || semicolon)) traits.refused = true;
    if (semicolon_dots) traits.refused = true;
    if (length == 0 && !last) traits.refused = true;  // "//", or "/;x/" to a server that cuts parameters off
    *this = SegmentWatch{};
  }

  static constexpr std::size_t kPast = ~std::size_t{0};
};

}  // namespace

int decode_escape(std::string_view text, std::size_t at) {
  if (at + 2 >= text.size()) return -1;
  const int high = hex_value(text[at + 1]);
  const int low = hex_value(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

PathTraits inspect(std::string_view path) {
  PathTraits traits;
  if (path.empty() || path.front() != '/' || is_plain(path)) return traits;
  traits.plain = false;
  SegmentWatch segment;
  unsigned previous = 0;
  for (std::size_t i = 1; i < path.size() && !traits.refused; ++i) {
    char c = path[i];
    bool escaped = false;
    if (c == '%') {
      const int value = decode_escape(path, i);
      if (value <= 0) {  // not an escape, or NUL
        traits.refused = true;
        break;
      }
      i += 2;
      escaped = true;
      c = static_cast<char>(value);
    }
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\' || c == '\0' || is_overlong(previous, byte)) traits.refused = true;
    previous = byte;
    if (c == '/') {
      if (escaped) traits.encoded_slash = true;
      segment.finish(false, traits);
    } else {
      segment.byte(c, escaped);
    }
  }
  segment.finish(true, traits);
  if (traits.encoded_slash && traits.dots) traits.refused = true;
  return traits;
}

std::string_view read_path(std::string_view path, const Reading& reading, char* out) {
  std::size_t n = 0;
  std::size_t start = 1;  // of the segment being written, behind its '/'
  bool cut = false;
  out[n++] = '/';
  const auto close_segment = [&](bool last) {
    const std::string_view text{out + start, n - start};
    if (reading.resolve_dots && (text == "." || text == "..")) {
      n = start - 1;  // at the '/' before the segment
      if (text == ".." && n > 0) {
        do --n;
        while (out[n] != '/');
      }
      if (last) out[n++] = '/';
    }
    if (!last) {
      out[n++] = '/';
      start = n;
    }
    cut = false;
  };
  for (std::size_t i = 1; i < path.size(); ++i) {
    char c = path[i];
    bool separator = c == '/';
    if (c == '%') {
      c = static_cast<char>(decode_escape(path, i));
      i += 2;
      if (c == '/' && reading.split_encoded_slash) separator = true;
      if (c == '/' && !separator) {
        if (!cut) {
          out[n++] = '%';
          out[n++] = '2';
          out[n++] = 'f';
        }
        continue;
      }
    }
    if (separator) {
      close_segment(false);
    } else if (reading.strip_params && c == ';') {
      cut = true;
    } else if (!cut) {
      out[n++] = c;
    }
  }
  close_segment(true);
  return {out, n};
}

}  // namespace understudy::route
