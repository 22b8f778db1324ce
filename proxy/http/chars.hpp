// Character classes and the few scans that the codec is made of. Internal to proxy/http. ASCII only, no
// locale.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace understudy::http::chars {

enum Class : std::uint8_t {
  token = 1,       // RFC 9110 §5.6.2 tchar
  plain_name = 2,  // letters, digits, '-': the only names that are forwarded
  value = 4,       // HTAB, SP, VCHAR, obs-text (RFC 9110 §5.5)
  target = 8,      // VCHAR without '#': nothing else may stand in a request target
  reg_name = 16,   // letters, digits, '-', '.', '_', '~': what we accept as a host name
  hex = 32,
  digit = 64,
  visible = 128,  // HTAB, SP, VCHAR: what a chunk extension may hold
};

constexpr bool is_alpha(unsigned c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_digit(unsigned c) { return c >= '0' && c <= '9'; }

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    unsigned bits = 0;
    const bool alnum = is_alpha(c) || is_digit(c);
    if (alnum || std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos) {
      bits |= token;
    }
    if (alnum || c == '-') bits |= plain_name;
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) bits |= value;
    if (c > 0x20 && c < 0x7f && c != '#') bits |= target;
    if (alnum || c == '-' || c == '.' || c == '_' || c == '~') bits |= reg_name;
    if (is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) bits |= hex;
    if (is_digit(c)) bits |= digit;
    if (c == '\t' || (c >= 0x20 && c < 0x7f)) bits |= visible;
    table[c] = static_cast<std::uint8_t>(bits);
  }
  return table;
}
inline constexpr std::array<std::uint8_t, 256> kClasses = make_classes();

inline std::uint8_t class_of(char c) { return kClasses.data()[static_cast<unsigned char>(c)]; }
inline bool is(char c, Class wanted) { return (class_of(c) & wanted) != 0; }
inline bool all(std::string_view text, Class wanted) {
  for (const char c : text) {
    if (!is(c, wanted)) return false;
  }
  return true;
}

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

inline bool iequal(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

inline std::string_view trim(std::string_view s) {
  while (!s.empty() && is_blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_blank(s.back())) s.remove_suffix(1);
  return s;
}

// -1 when c is no hexadecimal digit.
constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
inline constexpr char kHexDigits[] = "0123456789abcdef";

// Calls visit(element) for each element of a comma-separated list, blanks trimmed, empty ones left out.
// visit returns false to stop.
template <class Visit>
void for_each_element(std::string_view list, Visit&& visit) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    const std::string_view element = trim(list.substr(0, comma));
    if (!element.empty() && !visit(element)) return;
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

inline bool list_has(std::string_view list, std::string_view wanted) {
  bool found = false;
  for_each_element(list, [&](std::string_view element) {
    found = iequal(element, wanted);
    return !found;
  });
  return found;
}

// First byte in [p, end) that is no letter, digit or '-'; end if there is none.
inline const char* find_plain_end(const char* p, const char* end) {
#if defined(__SSE2__)
  const auto in_range = [](__m128i v, char first, char count) {
    const __m128i shifted = _mm_sub_epi8(v, _mm_set1_epi8(first));
    return _mm_cmpeq_epi8(_mm_min_epu8(shifted, _mm_set1_epi8(static_cast<char>(count - 1))), shifted);
  };
  while (end - p >= 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i letter = in_range(_mm_or_si128(v, _mm_set1_epi8(0x20)), 'a', 26);
    const __m128i other = _mm_or_si128(in_range(v, '0', 10), _mm_cmpeq_epi8(v, _mm_set1_epi8('-')));
    const int good = _mm_movemask_epi8(_mm_or_si128(letter, other));
    if (good != 0xffff) return p + __builtin_ctz(~static_cast<unsigned>(good));
    p += 16;
  }
#endif
  while (p < end && is(*p, plain_name)) ++p;
  return p;
}

// First byte in [p, end) that may not stand in a field value (a CR in a good head); end if there is none.
inline const char* find_value_end(const char* p, const char* end) {
#if defined(__SSE2__)
  const __m128i low = _mm_set1_epi8(0x1f);
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i del = _mm_set1_epi8(0x7f);
  while (end - p >= 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i control = _mm_andnot_si128(_mm_cmpeq_epi8(v, tab), _mm_cmpeq_epi8(_mm_min_epu8(v, low), v));
    const int bad = _mm_movemask_epi8(_mm_or_si128(control, _mm_cmpeq_epi8(v, del)));
    if (bad != 0) return p + __builtin_ctz(static_cast<unsigned>(bad));
    p += 16;
  }
#endif
  while (p < end && is(*p, value)) ++p;
  return p;
}

// First byte in [p, end) that may not stand in a request target (the space after it in a good head); end if
// none.
inline const char* find_target_end(const char* p, const char* end) {
#if defined(__SSE2__)
  const __m128i space = _mm_set1_epi8(0x20);
  const __m128i del = _mm_set1_epi8(0x7f);
  const __m128i hash = _mm_set1_epi8('#');
  while (end - p >= 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i small = _mm_cmpeq_epi8(_mm_min_epu8(v, space), v);
    const __m128i large = _mm_cmpeq_epi8(_mm_max_epu8(v, del), v);
    const int bad = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(small, large), _mm_cmpeq_epi8(v, hash)));
    if (bad != 0) return p + __builtin_ctz(static_cast<unsigned>(bad));
    p += 16;
  }
#endif
  while (p < end && is(*p, target)) ++p;
  return p;
}

// No control character but HTAB: may be written as a field value. Configuration passes through here too.
inline bool clean_value(std::string_view s) {
  return find_value_end(s.data(), s.data() + s.size()) == s.data() + s.size();
}

}  // namespace understudy::http::chars
