// The request head that goes upstream: rebuilt from the model, one Host, one framing, removal before ours are
// set.
#include <algorithm>

#include "proxy/http/chars.hpp"
#include "proxy/http/pen.hpp"

namespace understudy::http {

namespace {

// Written by us or of this connection only; copied never.
constexpr KnownSet kNeverCopied = {Known::host,
                                   Known::connection,
                                   Known::keep_alive,
                                   Known::proxy_connection,
                                   Known::te,
                                   Known::trailer,
                                   Known::transfer_encoding,
                                   Known::content_length,
                                   Known::upgrade,
                                   Known::expect,
                                   Known::http2_settings,
                                   Known::forwarded,
                                   Known::x_forwarded_for,
                                   Known::x_forwarded_proto,
                                   Known::x_forwarded_host,
                                   Known::x_forwarded_port,
                                   Known::x_real_ip,
                                   Known::x_original_url,
                                   Known::x_rewrite_url,
                                   Known::x_http_method_override,
                                   Known::x_request_id,
                                   Known::proxy_authenticate,
                                   Known::proxy_authorization};

constexpr KnownSet kWebSocket = {Known::sec_websocket_key, Known::sec_websocket_version, Known::sec_websocket_accept,
                                 Known::sec_websocket_protocol, Known::sec_websocket_extensions};

constexpr std::string_view kEpochName = "Understudy-Epoch", kResumeName = "Understudy-Resume";

// Only we may speak of epochs and of tunnels that go on, or mark a copy.
bool only_ours(std::string_view name) {
  const auto is = [name](std::string_view ours) { return name.size() == ours.size() && chars::iequal(name, ours); };
  return is(kEpochName) || is(kResumeName) || is(kMirrorName);
}

class RequestWriter {
public:
  RequestWriter(Out& out, const RequestHead& head, const char* base, const RequestRewrite& rewrite)
      : pen_(out), head_(head), base_(base), rewrite_(rewrite), rules_(rewrite.rules) {}

  bool write() {
    write_line();
    write_host();
    copy_fields();
    switch (head_.framing) {
      case Framing::length: pen_ << "Content-Length: " << head_.content_length << "\r\n"; break;
      case Framing::chunked: pen_ << "Transfer-Encoding: chunked\r\n"; break;
      case Framing::none:
      case Framing::until_close: break;  // a request is never framed by the end of its connection
    }
    write_forwarding();
    own("X-Request-Id: ", rewrite_.request_id);
    own("traceparent: ", rewrite_.traceparent);
    if (rewrite_.send_epoch) pen_ << kEpochName << ": " << rewrite_.epoch << "\r\n";
    if (!rules_.empty()) rules_.write(pen_, Known::host);
    if (websocket()) pen_ << "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    pen_ << "\r\n";
    return pen_.finish();
  }

private:
  bool websocket() const { return rewrite_.websocket && head_.upgrade == UpgradeKind::websocket; }

  void write_line() {
    const bool origin_form = base_[head_.target.offset] == '/';
    if (origin_form && rewrite_.strip_prefix.empty() && rewrite_.add_prefix.empty()) {
      // "METHOD target HTTP/1.": method and target stand side by side with one space.
      const char* const from = base_ + head_.method_text.offset;
      const char* const to = base_ + head_.target.offset + head_.target.length;
      pen_ << std::string_view(from, static_cast<std::size_t>(to - from)) << " HTTP/1.1\r\n";
      return;
    }
    pen_ << head_.method_text.in(base_) << " ";
    const std::string_view path = head_.path.in(base_);
    // The stand-in slash of an absolute-form without path lies before the authority.
    const bool no_path = !origin_form && path == "/" && head_.path.offset < head_.target.offset + 8;
    if (path == "*" || (no_path && !head_.has_query && head_.method == Method::options)) {
      pen_ << "*";  // RFC 9112 §3.2.4
    } else {
      write_path(path);
      if (head_.has_query) pen_ << "?" << head_.query.in(base_);
    }
    pen_ << " HTTP/1.1\r\n";
  }

  // Whatever the prefixes are, the result begins with exactly the slash that we write.
  void write_path(std::string_view path) {
    const std::size_t cut = stripped(path, rewrite_.strip_prefix);
    if (cut > 0) {
      path.remove_prefix(cut);
      // "/api//evil.example" must not become "//evil.example", which some read as an authority.
      while (!path.empty() && path.front() == '/') path.remove_prefix(1);
    } else if (!path.empty()) {
      path.remove_prefix(1);
    }
    std::string_view add = rewrite_.add_prefix;
    while (!add.empty() && add.front() == '/') add.remove_prefix(1);
    while (!add.empty() && add.back() == '/') add.remove_suffix(1);
    pen_ << "/";
    if (!add.empty()) {
      for (const char c : add) write_path_char(c);
      pen_ << "/";
    }
    pen_ << path;
  }

  void write_path_char(char c) {
    if (chars::is(c, chars::target) && c != '?') {
      pen_ << c;
      return;
    }
    const auto byte = static_cast<unsigned char>(c);
    pen_ << '%' << chars::kHexDigits[byte >> 4] << chars::kHexDigits[byte & 15];
  }

  // How many raw bytes of path the prefix covers; 0 if it does not match at a segment's border. Routes match
  // the decoded path, so "%61pi" is "api" here too.
  static std::size_t stripped(std::string_view path, std::string_view prefix) {
    while (!prefix.empty() && prefix.back() == '/') prefix.remove_suffix(1);
    if (prefix.empty()) return 0;
    std::size_t at = 0;
    for (const char wanted : prefix) {
      if (at >= path.size()) return 0;
      char c = path[at];
      std::size_t used = 1;
      if (c == '%' && wanted != '%' && at + 2 < path.size()) {
        const int high = chars::hex_value(path[at + 1]);
        const int low = chars::hex_value(path[at + 2]);
        // An encoded slash is data, never a border.
        if (high >= 0 && low >= 0 && wanted != '/') {
          c = static_cast<char>(high << 4 | low);
          used = 3;
        }
      }
      if (c != wanted) return 0;
      at += used;
    }
    return at == path.size() || path[at] == '/' ? at : 0;
  }

  void write_host() {
    std::string_view host = head_.authority.in(base_);
    if (host.empty()) host = rewrite_.default_host;
    if (!rules_.empty()) {
      const auto set = rules_.set_value("host");
      if (!set.empty()) host = set;
    }
    pen_ << "Host: " << host << "\r\n";
  }

  void copy_fields() {
    LineCopier lines(pen_, base_);
    const Field* const list = head_.fields.list.data();
    const KnownSet skip = never_copied();
    for (std::size_t i = 0; i < head_.fields.count; ++i) {
      const Field& field = list[i];
      if (field.drop || field.hop_by_hop || skip.has(field.id)) continue;
      if (field.id == Known::none && only_ours(field.name.in(base_))) continue;
      if (!rules_.empty() && rules_.replaces(field.name.in(base_))) continue;
      lines.keep(field);
    }
    lines.flush();
    // A Connection field cannot take away what the upgrade needs.
    if (websocket()) {
      for (std::size_t i = 0; i < head_.fields.count; ++i) {
        const Field& field = list[i];
        if (field.hop_by_hop && kWebSocket.has(field.id) && !skip.has(field.id)) lines.keep(field);
      }
      lines.flush();
    }
  }

  KnownSet never_copied() const {
    KnownSet skip = kNeverCopied;
    if (!rewrite_.trusted) skip.add(Known::true_client_ip);
    if (!rewrite_.traceparent.empty()) {
      skip.add(Known::traceparent);
      if (!trace_goes_on()) skip.add(Known::tracestate);
    }
    if (!websocket()) {
      for (const Known id : {Known::sec_websocket_key, Known::sec_websocket_version, Known::sec_websocket_protocol,
                             Known::sec_websocket_extensions}) {
        skip.add(id);
      }
    } else if (rewrite_.drop_websocket_extensions) {
      skip.add(Known::sec_websocket_extensions);
    }
    skip.add(Known::sec_websocket_accept);
    return skip;
  }

  // tracestate belongs to its traceparent: it goes on only with the same trace id.
  bool trace_goes_on() const {
    const std::string_view incoming = head_.fields.value(Known::traceparent, base_);
    return valid_traceparent(incoming) && rewrite_.traceparent.size() == 55 &&
           incoming.substr(3, 32) == rewrite_.traceparent.substr(3, 32);
  }

  // `label` is the name with ": ".
  template <std::size_t N>
  bool begin_own(const char (&label)[N]) {
    if (!rules_.empty() && rules_.replaces(std::string_view(label, N - 3))) return false;
    pen_ << label;
    return true;
  }
  template <std::size_t N>
  void own(const char (&label)[N], std::string_view value) {
    if (!value.empty() && begin_own(label)) pen_ << value << "\r\n";
  }

  void write_forwarding() {
    if (begin_own("X-Forwarded-For: ")) {
      if (rewrite_.trusted) write_incoming(Known::x_forwarded_for);
      pen_ << rewrite_.peer_ip << "\r\n";
    }
    own("X-Forwarded-Proto: ", trusted_value(Known::x_forwarded_proto, is_scheme, rewrite_.tls ? "https" : "http"));
    own("X-Forwarded-Host: ", trusted_value(Known::x_forwarded_host, valid_authority, head_.authority.in(base_)));
    char digits[8];
    const auto end = std::to_chars(digits, digits + sizeof digits, rewrite_.listener_port).ptr;
    const std::string_view port(digits, rewrite_.listener_port != 0 ? static_cast<std::size_t>(end - digits) : 0);
    own("X-Forwarded-Port: ", trusted_value(Known::x_forwarded_port, is_port, port));
    own("X-Real-IP: ", rewrite_.client_ip);
    if (rewrite_.trusted && head_.fields.find(Known::forwarded) != nullptr && begin_own("Forwarded: ")) {
      write_incoming(Known::forwarded);
      write_forwarded_element();
      pen_ << "\r\n";
    }
  }

  // Earlier hops, joined to one list, each followed by ", ".
  void write_incoming(Known id) {
    for (std::size_t i = 0; i < head_.fields.count; ++i) {
      const Field& field = head_.fields.list[i];
      if (field.id == id && field.value.length > 0) pen_ << field.value.in(base_) << ", ";
    }
  }

  // What a trusted peer says, if it says it once and it makes sense; else ours.
  std::string_view trusted_value(Known id, bool (*sensible)(std::string_view), std::string_view ours) const {
    if (!rewrite_.trusted) return ours;
    std::string_view found;
    for (std::size_t i = 0; i < head_.fields.count; ++i) {
      if (head_.fields.list[i].id != id) continue;
      if (!found.empty()) return ours;
      found = head_.fields.list[i].value.in(base_);
    }
    return !found.empty() && sensible(found) ? found : ours;
  }
  static bool is_scheme(std::string_view s) {
    return chars::iequal(s, "https") || chars::iequal(s, "http") || chars::iequal(s, "wss") || chars::iequal(s, "ws");
  }
  static bool is_port(std::string_view s) { return s.size() <= 5 && chars::all(s, chars::digit); }

  // RFC 7239: IPv6 and anything with a colon is quoted.
  void write_forwarded_element() {
    const std::string_view peer = rewrite_.peer_ip;
    const bool unix_peer = peer.substr(0, 5) == "unix:" || peer.empty();
    if (unix_peer) {
      pen_ << "for=unknown";
    } else if (peer.find(':') != std::string_view::npos) {
      pen_ << "for=\"[" << peer << "]\"";
    } else {
      pen_ << "for=" << peer;
    }
    const std::string_view host = head_.authority.in(base_);
    if (!host.empty()) pen_ << ";host=\"" << host << "\"";
    pen_ << ";proto=" << (rewrite_.tls ? std::string_view("https") : std::string_view("http"));
  }

  Pen pen_;
  const RequestHead& head_;
  const char* base_;
  const RequestRewrite& rewrite_;
  Rules rules_;
};

}  // namespace

bool write_request(Out& out, const RequestHead& head, const char* base, const RequestRewrite& rewrite) {
  return RequestWriter(out, head, base, rewrite).write();
}

}  // namespace understudy::http
