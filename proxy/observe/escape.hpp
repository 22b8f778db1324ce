// Turns bytes chosen by strangers into text that can't break a line, a quote or a terminal (security rules,
// "Log injection"). Pure. All append to `out`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace understudy::observe {

struct Utf8 {
  std::size_t length = 0;  // 1..4; 0 when no well-formed sequence begins here
  char32_t code_point = 0;
};
// The well-formed UTF-8 sequence (RFC 3629: shortest form, no surrogates, up to U+10FFFF) at s[at].
Utf8 utf8_at(std::string_view s, std::size_t at);
// `s` without the sequence that was cut in two at its end, if there is one.
std::string_view without_cut_tail(std::string_view s);

// The inside of a JSON string. Control characters, DEL, C1, U+2028/2029 and bidirectional overrides become
// \uNNNN; a byte that is not UTF-8 becomes the four characters \xNN (so the line stays valid JSON).
void append_json_text(std::string& out, std::string_view s);
// Combined format: the quote, the backslash and everything outside 0x20..0x7e become \xNN, as Apache and
// nginx write it.
void append_combined_text(std::string& out, std::string_view s);
// Event log: readable UTF-8 stays; what can break a line or steer a terminal becomes \n, \t or \xNN of its
// bytes.
void append_event_text(std::string& out, std::string_view s);
// What is UTF-8 as it is; each byte that is not becomes '?'.
void append_utf8(std::string& out, std::string_view s);
// As long as it was at most: each character that can break a line or steer a terminal, and each byte that is not UTF-8, becomes '?'.
void append_clean_text(std::string& out, std::string_view s);
// A label value of Prometheus: \\ \" \n; a byte that is not UTF-8 becomes \xNN with the backslash escaped.
void append_label_text(std::string& out, std::string_view s);

}  // namespace understudy::observe
