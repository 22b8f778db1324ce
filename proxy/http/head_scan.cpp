#include "proxy/http/head_scan.hpp"

#include <algorithm>

#include "proxy/http/chars.hpp"

namespace understudy::http {

namespace {

// Fields by which clients try to steer an application past the proxy's rules; never forwarded.
constexpr KnownSet kRewriteFields = {Known::x_original_url, Known::x_rewrite_url, Known::x_http_method_override};

// A nomination of these is ignored: removing them would change what the message means.
constexpr KnownSet kNotRemovable = {Known::host, Known::content_length, Known::authorization};

constexpr int kMaxNominations = 32;

ParseError name_error(const char* name, const char* at, bool first_field) {
  switch (*at) {
    case '\0': return ParseError::nul_byte;
    case '\n': return ParseError::bad_line_end;
    case ' ':
    case '\t':
      if (at == name) return first_field ? ParseError::leading_space : ParseError::obs_fold;
      return ParseError::bad_field_name;
    default: return ParseError::bad_field_name;
  }
}

ParseError value_error(char c) {
  if (c == '\0') return ParseError::nul_byte;
  return c == '\n' ? ParseError::bad_line_end : ParseError::bad_field_value;
}

}  // namespace

ParseStatus parse_fields(HeadScan& scan, Fields& fields, std::uint32_t max_fields, bool request) {
  const std::uint32_t ceiling = std::min<std::uint32_t>(max_fields, kMaxFields);
  const char* p = scan.at;
  const char* const end = scan.end;
  Field* const list = fields.list.data();
  std::uint32_t count = 0;
  KnownSet seen, repeated;
  for (;;) {
    if (p == end) return ParseStatus::need_more;
    if (*p == '\r') {
      if (p + 1 == end) return ParseStatus::need_more;
      if (p[1] != '\n') return scan.fail(ParseError::bad_line_end, p + 1);
      scan.at = p + 2;
      scan.seen = seen;
      scan.repeated = repeated;
      fields.count = static_cast<std::uint16_t>(count);
      return ParseStatus::done;
    }
    const char* const name = p;
    p = chars::find_plain_end(p, end);
    bool look_alike = false;
    if (p != end && *p != ':') {
      look_alike = true;
      while (p != end && chars::is(*p, chars::token)) ++p;
    }
    if (p == end) return ParseStatus::need_more;
    if (*p != ':' || p == name) return scan.fail(name_error(name, p, count == 0), p);
    const auto name_length = static_cast<std::uint32_t>(p - name);
    ++p;
    if (p != end && *p == ' ') ++p;
    while (p != end && chars::is_blank(*p)) ++p;
    const char* const value = p;
    p = chars::find_value_end(p, end);
    if (p == end) return ParseStatus::need_more;
    if (*p != '\r') return scan.fail(value_error(*p), p);
    if (p + 1 == end) return ParseStatus::need_more;
    if (p[1] != '\n') return scan.fail(ParseError::bad_line_end, p + 1);
    const char* value_end = p;
    while (value_end != value && chars::is_blank(value_end[-1])) --value_end;
    p += 2;
    if (count >= ceiling) return scan.fail_now(ParseError::too_many_fields);

    const Known id = known_id(name, name_length);
    Field& field = list[count];
    field.name = {static_cast<std::uint32_t>(name - scan.base), name_length};
    field.value = scan.span(value, value_end);
    field.id = id;
    field.hop_by_hop = kHopByHop.has(id);
    field.drop = request && (look_alike || kRewriteFields.has(id));
    if (id != Known::none) {
      if (seen.has(id)) {
        repeated.add(id);
      } else {
        seen.add(id);
        fields.first.data()[static_cast<std::size_t>(id)] = static_cast<std::int16_t>(count);
      }
    }
    ++count;
  }
}

ConnectionOptions read_connection(const HeadScan& scan, Fields& fields) {
  ConnectionOptions options;
  int nominations = 0;
  for (std::size_t i = 0; i < fields.count; ++i) {
    if (fields.list[i].id != Known::connection) continue;
    chars::for_each_element(fields.list[i].value.in(scan.base), [&](std::string_view option) {
      if (chars::iequal(option, "close")) {
        options.close = true;
      } else if (chars::iequal(option, "keep-alive")) {
        options.keep_alive = true;
      } else if (chars::iequal(option, "upgrade")) {
        options.upgrade = true;
      } else {
        if (++nominations > kMaxNominations) {
          options.too_many = true;
          return false;
        }
        for (std::size_t k = 0; k < fields.count; ++k) {
          Field& f = fields.list[k];
          if (kNotRemovable.has(f.id)) continue;
          if (chars::iequal(f.name.in(scan.base), option)) f.hop_by_hop = true;
        }
      }
      return true;
    });
  }
  return options;
}

bool parse_content_length(std::string_view text, std::uint64_t& length) {
  if (text.empty()) return false;
  constexpr std::uint64_t limit = INT64_MAX;
  std::uint64_t n = 0;
  for (const char c : text) {
    if (!chars::is(c, chars::digit)) return false;
    const auto d = static_cast<std::uint64_t>(c - '0');
    if (n > (limit - d) / 10) return false;
    n = n * 10 + d;
  }
  length = n;
  return true;
}

namespace {

bool is_coding_we_lack(std::string_view coding) {
  static constexpr std::string_view known[] = {"gzip", "x-gzip", "deflate", "compress", "x-compress"};
  return std::any_of(std::begin(known), std::end(known),
                     [&](std::string_view name) { return chars::iequal(coding, name); });
}

// A list of known codings with chunked, if at all, last is something that HTTP has and we lack; all else is
// malformed.
ParseError judge_codings(std::string_view value) {
  bool chunked = false;
  while (true) {
    const auto comma = value.find(',');
    const std::string_view coding = chars::trim(value.substr(0, comma));
    if (chunked) return ParseError::bad_transfer_encoding;
    if (chars::iequal(coding, "chunked")) {
      chunked = true;
    } else if (!is_coding_we_lack(coding)) {
      return ParseError::bad_transfer_encoding;
    }
    if (comma == std::string_view::npos) return ParseError::unknown_transfer_coding;
    value.remove_prefix(comma + 1);
  }
}

}  // namespace

BodyFields read_body_fields(const HeadScan& scan, const Fields& fields, std::uint8_t minor) {
  BodyFields result;
  const bool has_length = scan.seen.has(Known::content_length);
  if (scan.seen.has(Known::transfer_encoding)) {
    if (has_length) {
      result.error = ParseError::length_and_chunked;
    } else if (minor == 0) {
      result.error = ParseError::transfer_encoding_in_http10;
    } else if (scan.repeated.has(Known::transfer_encoding)) {
      result.error = ParseError::bad_transfer_encoding;
    } else {
      const std::string_view value = fields.value(Known::transfer_encoding, scan.base);
      if (chars::iequal(value, "chunked")) {
        result.framing = Framing::chunked;
      } else {
        result.error = judge_codings(value);
      }
    }
  } else if (has_length) {
    if (scan.repeated.has(Known::content_length)) {
      result.error = ParseError::duplicate_content_length;
    } else if (!parse_content_length(fields.value(Known::content_length, scan.base), result.length)) {
      result.error = ParseError::bad_content_length;
    } else {
      result.framing = Framing::length;
    }
  }
  return result;
}

bool fields_list(const Fields& fields, const char* base, Known id, std::string_view wanted) {
  for (std::size_t i = 0; i < fields.count; ++i) {
    const Field& f = fields.list[i];
    if (f.id == id && chars::list_has(f.value.in(base), wanted)) return true;
  }
  return false;
}

}  // namespace understudy::http
