// The response head that goes downstream, and interim responses.
#include "proxy/http/chars.hpp"
#include "proxy/http/pen.hpp"

namespace understudy::http {

namespace {

constexpr KnownSet kWebSocketAnswer = {Known::sec_websocket_accept, Known::sec_websocket_protocol,
                                       Known::sec_websocket_extensions};

char digit(unsigned n) { return static_cast<char>('0' + n % 10); }

void write_status_line(Pen& pen, const ResponseHead& head, const char* base) {
  const char code[] = {'H',
                       'T',
                       'T',
                       'P',
                       '/',
                       '1',
                       '.',
                       '1',
                       ' ',
                       digit(head.status / 100),
                       digit(head.status / 10),
                       digit(head.status),
                       ' ',
                       '\0'};
  pen << code;
  const std::string_view reason = head.reason.in(base);
  pen << (reason.empty() ? reason_phrase(head.status) : reason) << "\r\n";
}

// Fixed and nominated hop-by-hop fields are flagged already; the length is written from the model.
template <class Skip>
void copy_fields(Pen& pen, const ResponseHead& head, const char* base, Skip&& skip) {
  LineCopier lines(pen, base);
  const Field* const list = head.fields.list.data();
  for (std::size_t i = 0; i < head.fields.count; ++i) {
    const Field& field = list[i];
    if (field.hop_by_hop || field.drop || kHopByHop.has(field.id) || field.id == Known::content_length) continue;
    if (!skip(field)) lines.keep(field);
  }
  lines.flush();
}

void write_framing(Pen& pen, const ResponseHead& head, const ResponseRewrite& rewrite) {
  if (head.status < 200 || head.status == 204) return;  // RFC 9110 §8.6, RFC 9112 §6.1
  if (rewrite.keep_length || rewrite.framing == Framing::length) {
    pen << "Content-Length: " << rewrite.content_length << "\r\n";
  } else if (rewrite.framing == Framing::chunked) {
    pen << "Transfer-Encoding: chunked\r\n";
  }
}

}  // namespace

bool write_response(Out& out, const ResponseHead& head, const char* base, const ResponseRewrite& rewrite) {
  Pen pen(out);
  const Rules rules(rewrite.rules);
  const bool own_id = !rewrite.request_id.empty();
  write_status_line(pen, head, base);
  copy_fields(pen, head, base, [&](const Field& field) {
    if (field.id == Known::x_request_id && own_id) return true;
    if (kWebSocketAnswer.has(field.id) && !rewrite.websocket) return true;
    return !rules.empty() && rules.replaces(field.name.in(base));
  });
  write_framing(pen, head, rewrite);
  if (own_id && (rules.empty() || !rules.replaces("X-Request-Id"))) {
    pen << "X-Request-Id: " << rewrite.request_id << "\r\n";
  }
  if (!rewrite.set_cookie.empty()) pen << "Set-Cookie: " << rewrite.set_cookie << "\r\n";
  if (!rules.empty()) rules.write(pen);
  if (rewrite.websocket) {
    pen << "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  } else if (rewrite.close || rewrite.framing == Framing::until_close) {
    pen << "Connection: close\r\n";
  } else if (rewrite.client_minor == 0) {
    pen << "Connection: keep-alive\r\n";  // HTTP/1.0 closes unless told
  }
  pen << "\r\n";
  return pen.finish();
}

bool write_informational(Out& out, const ResponseHead& head, const char* base) {
  Pen pen(out);
  write_status_line(pen, head, base);
  copy_fields(pen, head, base, [](const Field& field) { return kWebSocketAnswer.has(field.id); });
  pen << "\r\n";
  return pen.finish();
}

std::string_view reason_phrase(std::uint16_t status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 511: return "Network Authentication Required";
    default: break;
  }
  static constexpr std::string_view classes[] = {"Status",      "Informational", "Success",
                                                 "Redirection", "Client Error",  "Server Error"};
  const unsigned hundred = status / 100u;
  return classes[hundred < 6 ? hundred : 0];
}

}  // namespace understudy::http
