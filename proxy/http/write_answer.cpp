// Answers that we give ourselves: error pages, redirects, fixed responses.
#include "proxy/http/chars.hpp"
#include "proxy/http/pen.hpp"

namespace understudy::http {

namespace {

// ---- Accept (RFC 9110 §12.5.1)

struct Preference {
  int quality = 0;  // thousandths
  int exactness = 0;
  int order = 0;  // position of the range in the list
};

// "0.5" -> 500; anything malformed is 1000, as if it were not there.
int parse_quality(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 1000;
  int quality = (text[0] - '0') * 1000;
  if (text.size() == 1) return quality;
  if (text[1] != '.') return 1000;
  int weight = 100;
  for (const char c : text.substr(2)) {
    if (!chars::is(c, chars::digit)) return 1000;
    quality += (c - '0') * weight;
    weight /= 10;
  }
  return quality > 1000 ? 1000 : quality;
}

void consider(Preference& best, int exactness, int quality, int order) {
  if (exactness > best.exactness) best = {quality, exactness, order};
}

bool prefers_json(std::string_view accept) {
  Preference json, html;
  int order = 0;
  chars::for_each_element(accept, [&](std::string_view range) {
    const auto semicolon = range.find(';');
    const std::string_view type = chars::trim(range.substr(0, semicolon));
    int quality = 1000;
    for (auto rest = semicolon == std::string_view::npos ? std::string_view{} : range.substr(semicolon + 1);
         !rest.empty();) {
      const auto next = rest.find(';');
      const auto parameter = chars::trim(rest.substr(0, next));
      if (parameter.size() > 2 && chars::iequal(parameter.substr(0, 2), "q="))
        quality = parse_quality(parameter.substr(2));
      rest = next == std::string_view::npos ? std::string_view{} : rest.substr(next + 1);
    }
    ++order;
    if (chars::iequal(type, "application/json")) consider(json, 3, quality, order);
    if (type.size() > 17 && chars::iequal(type.substr(0, 12), "application/") &&
        chars::iequal(type.substr(type.size() - 5), "+json")) {
      consider(json, 3, quality, order);
    }
    if (chars::iequal(type, "text/html") || chars::iequal(type, "application/xhtml+xml"))
      consider(html, 3, quality, order);
    if (chars::iequal(type, "application/*")) consider(json, 2, quality, order);
    if (chars::iequal(type, "text/*")) consider(html, 2, quality, order);
    if (type == "*/*") {
      consider(json, 1, quality, order);
      consider(html, 1, quality, order);
    }
    return order < 64;
  });
  if (json.quality != html.quality) return json.quality > html.quality;
  if (json.quality == 0) return false;
  if (json.exactness != html.exactness) return json.exactness > html.exactness;
  return json.order < html.order;
}

// ---- Escaping, each into any sink with put(std::string_view)

template <class Sink>
void put_html(Sink& sink, std::string_view text) {
  for (const char& c : text) {
    switch (c) {
      case '&': sink.put("&amp;"); break;
      case '<': sink.put("&lt;"); break;
      case '>': sink.put("&gt;"); break;
      case '"': sink.put("&quot;"); break;
      case '\'': sink.put("&#39;"); break;
      default: sink.put(chars::is(c, chars::value) ? std::string_view(&c, 1) : std::string_view("?"));
    }
  }
}

template <class Sink>
void put_json(Sink& sink, std::string_view text) {
  for (const char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      sink.put("\\");
      sink.put({&c, 1});
    } else if (byte < 0x20 || byte == 0x7f) {
      const char code[] = {'\\', 'u', '0', '0', chars::kHexDigits[byte >> 4], chars::kHexDigits[byte & 15]};
      sink.put({code, sizeof code});
    } else {
      sink.put({&c, 1});
    }
  }
}

struct LengthSink {
  std::uint64_t length = 0;
  void put(std::string_view s) { length += s.size(); }
};
struct PenSink {
  Pen& pen;
  void put(std::string_view s) { pen << s; }
};

// ---- Body

enum class BodyKind { none, given, json, html };

BodyKind kind_of_body(const OwnAnswer& answer, std::string_view accept) {
  if (answer.status < 200 || answer.status == 204 || answer.status == 304) return BodyKind::none;
  if (!answer.content_type.empty()) return BodyKind::given;
  return prefers_json(accept) ? BodyKind::json : BodyKind::html;
}

template <class Sink>
void compose(Sink& sink, const OwnAnswer& answer, BodyKind kind) {
  const char code[] = {static_cast<char>('0' + answer.status / 100 % 10),
                       static_cast<char>('0' + answer.status / 10 % 10), static_cast<char>('0' + answer.status % 10)};
  const std::string_view status{code, sizeof code};
  switch (kind) {
    case BodyKind::none: break;
    case BodyKind::given: sink.put(answer.body); break;
    case BodyKind::json:
      sink.put("{\"status\":");
      sink.put(status);
      sink.put(",\"reason\":\"");
      put_json(sink, answer.reason);
      sink.put("\",\"message\":\"");
      put_json(sink, answer.sentence.empty() ? reason_phrase(answer.status) : answer.sentence);
      if (!answer.request_id.empty()) {
        sink.put("\",\"request_id\":\"");
        put_json(sink, answer.request_id);
      }
      sink.put("\"}\n");
      break;
    case BodyKind::html:
      sink.put("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
      sink.put(status);
      sink.put(" ");
      sink.put(reason_phrase(answer.status));
      sink.put("</title></head>\n<body><h1>");
      sink.put(status);
      sink.put(" ");
      sink.put(reason_phrase(answer.status));
      sink.put("</h1>\n");
      if (!answer.sentence.empty()) {
        sink.put("<p>");
        put_html(sink, answer.sentence);
        sink.put("</p>\n");
      }
      if (!answer.request_id.empty()) {
        sink.put("<p><small>Request id: ");
        put_html(sink, answer.request_id);
        sink.put("</small></p>\n");
      }
      sink.put("</body></html>\n");
      break;
  }
}

// A target from a request may stand in it: what is no URI character is percent-encoded, so no line can be
// ended here.
void write_location(Pen& pen, std::string_view location) {
  pen << "Location: ";
  for (const char& c : location) {
    const bool plain = (chars::is(c, chars::target) || c == '#') && c != '"' && c != '<' && c != '>' && c != '\\' &&
                       c != '^' && c != '`' && c != '{' && c != '|' && c != '}';
    if (plain) {
      pen << c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      pen << '%' << chars::kHexDigits[byte >> 4] << chars::kHexDigits[byte & 15];
    }
  }
  pen << "\r\n";
}

}  // namespace

bool write_answer(Out& out, const OwnAnswer& answer, std::string_view accept) {
  Pen pen(out);
  const Rules rules(answer.rules);
  const BodyKind kind = kind_of_body(answer, accept);
  const auto own = [&](std::string_view name, std::string_view value) {
    if (value.empty() || !chars::clean_value(value) || rules.replaces(name)) return;
    pen << name << ": " << value << "\r\n";
  };
  pen << "HTTP/1.1 " << std::uint64_t{answer.status} << " " << reason_phrase(answer.status) << "\r\n";
  switch (kind) {
    case BodyKind::none: break;
    case BodyKind::given: own("Content-Type", answer.content_type); break;
    case BodyKind::json: own("Content-Type", "application/json"); break;
    case BodyKind::html: own("Content-Type", "text/html; charset=utf-8"); break;
  }
  if (kind != BodyKind::none) {
    LengthSink length;
    compose(length, answer, kind);
    pen << "Content-Length: " << length.length << "\r\n";
    own("X-Content-Type-Options", "nosniff");
  }
  own("Cache-Control", "no-store");
  own("X-Request-Id", answer.request_id);
  if (answer.retry_after != 0 && !rules.replaces("Retry-After")) {
    pen << "Retry-After: " << std::uint64_t{answer.retry_after} << "\r\n";
  }
  if (!answer.location.empty()) write_location(pen, answer.location);
  own("Allow", answer.allow);
  rules.write(pen);
  if (answer.close) pen << "Connection: close\r\n";
  pen << "\r\n";
  if (!answer.head_only) {
    PenSink body{pen};
    compose(body, answer, kind);
  }
  return pen.finish();
}

}  // namespace understudy::http
