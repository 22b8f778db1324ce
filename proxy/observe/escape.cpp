#include "proxy/observe/escape.hpp"

#include <algorithm>

namespace understudy::observe {
namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";

unsigned byte_at(std::string_view s, std::size_t at) { return static_cast<unsigned char>(s[at]); }
bool is_continuation(unsigned byte) { return (byte & 0xC0U) == 0x80U; }

// Length that a lead byte announces; 0 for a byte that can't lead.
std::size_t announced(unsigned lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;
  if (lead < 0xE0) return 2;
  if (lead < 0xF0) return 3;
  return lead < 0xF5 ? 4 : 0;
}

void append_hex_byte(std::string& out, std::string_view prefix, unsigned byte) {
  out += prefix;
  out += kHex[byte >> 4U];
  out += kHex[byte & 15U];
}

void append_u(std::string& out, char32_t code) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(code >> static_cast<unsigned>(shift)) & 15U];
}

// Well-formed, but it breaks lines or steers what is shown: C0, DEL, C1, line and paragraph separator,
// bidirectional controls.
bool is_unruly(char32_t code) {
  if (code < 0x20 || (code >= 0x7F && code <= 0x9F)) return true;
  if (code == 0x200E || code == 0x200F || code == 0x061C) return true;
  return (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

// Walks `s`; runs of ordinary text are appended whole. `special(code point)` says which characters need
// `write_code`, `write_byte` gets each byte that is not UTF-8.
template <typename Special, typename WriteCode, typename WriteByte>
void walk(std::string& out, std::string_view s, Special special, WriteCode write_code, WriteByte write_byte) {
  std::size_t plain = 0, at = 0;
  while (at < s.size()) {
    if (byte_at(s, at) < 0x80 && !special(byte_at(s, at))) {  // nearly always
      ++at;
      continue;
    }
    const Utf8 here = utf8_at(s, at);
    if (here.length != 0 && !special(here.code_point)) {
      at += here.length;
      continue;
    }
    out.append(s, plain, at - plain);
    if (here.length == 0) {
      write_byte(byte_at(s, at));
    } else {
      write_code(here.code_point, s.substr(at, here.length));
    }
    at += std::max<std::size_t>(here.length, 1);
    plain = at;
  }
  out.append(s, plain, s.size() - plain);
}

}  // namespace

Utf8 utf8_at(std::string_view s, std::size_t at) {
  const unsigned lead = byte_at(s, at);
  const std::size_t length = announced(lead);
  if (length == 1) return {1, lead};
  if (length == 0 || s.size() - at < length) return {};
  char32_t code = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    const unsigned byte = byte_at(s, at + i);
    if (!is_continuation(byte)) return {};
    code = (code << 6U) | (byte & 0x3FU);
  }
  const bool too_long = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (too_long || surrogate || code > 0x10FFFF) return {};
  return {length, code};
}

std::string_view without_cut_tail(std::string_view s) {
  std::size_t lead = s.size();
  while (lead > 0 && s.size() - lead < 3 && is_continuation(byte_at(s, lead - 1))) --lead;
  if (lead == 0) return s;
  --lead;
  const bool incomplete = announced(byte_at(s, lead)) > s.size() - lead;
  return incomplete ? s.substr(0, lead) : s;
}

void append_json_text(std::string& out, std::string_view s) {
  walk(
      out, s, [](char32_t code) { return code == '"' || code == '\\' || is_unruly(code); },
      [&](char32_t code, std::string_view) {
        switch (code) {
          case '"': out += "\\\""; break;
          case '\\': out += "\\\\"; break;
          case '\n': out += "\\n"; break;
          case '\r': out += "\\r"; break;
          case '\t': out += "\\t"; break;
          default: append_u(out, code);
        }
      },
      [&](unsigned byte) { append_hex_byte(out, "\\\\x", byte); });
}

void append_combined_text(std::string& out, std::string_view s) {
  for (const char c : s) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7E || c == '"' || c == '\\') {
      append_hex_byte(out, "\\x", byte);
    } else {
      out += c;
    }
  }
}

void append_event_text(std::string& out, std::string_view s) {
  walk(
      out, s, is_unruly,
      [&](char32_t code, std::string_view bytes) {
        if (code == '\n') {
          out += "\\n";
        } else if (code == '\t') {
          out += "\\t";
        } else {
          for (const char c : bytes) append_hex_byte(out, "\\x", static_cast<unsigned char>(c));
        }
      },
      [&](unsigned byte) { append_hex_byte(out, "\\x", byte); });
}

void append_utf8(std::string& out, std::string_view s) {
  walk(
      out, s, [](char32_t) { return false; }, [](char32_t, std::string_view) {}, [&](unsigned) { out += '?'; });
}

void append_clean_text(std::string& out, std::string_view s) {
  walk(
      out, s, is_unruly, [&](char32_t, std::string_view) { out += '?'; }, [&](unsigned) { out += '?'; });
}

void append_label_text(std::string& out, std::string_view s) {
  walk(
      out, s, [](char32_t code) { return code == '"' || code == '\\' || code == '\n'; },
      [&](char32_t code, std::string_view) {
        out += '\\';
        out += code == '\n' ? 'n' : static_cast<char>(code);
      },
      [&](unsigned byte) { append_hex_byte(out, "\\\\x", byte); });
}

}  // namespace understudy::observe
