// Rules of [listen.NAME] and [admin].
#include <algorithm>

#include "config/validate.hpp"

namespace understudy::config {
namespace {

bool is_any(const SocketAddress& address) {
  return address.family != SocketAddress::Family::unix_path &&
         std::all_of(address.ip.begin(), address.ip.end(), [](std::uint8_t byte) { return byte == 0; });
}

// Whether binding both at once fails: the same address, or ":80" (which takes IPv4 as well) beside
// "0.0.0.0:80" or "[::]:80".
bool clash(const Address& a, const Address& b) {
  const auto first = a.numeric();
  const auto second = b.numeric();
  if (!first || !second) return false;
  if (first->family == SocketAddress::Family::unix_path) return *first == *second;
  if (second->family == SocketAddress::Family::unix_path || first->port != second->port || first->port == 0)
    return false;
  if (*first == *second) return true;
  return is_any(*first) && is_any(*second) && (a.host.empty() || b.host.empty());
}

void validate_admin(const Config& config, Reader& reader) {
  const AdminConfig& admin = config.admin;
  const auto address = admin.listen.numeric();
  const Mark* token = reader.mark("admin.token");
  if (address && !address->is_loopback() && !admin.token && token == nullptr) {
    reader.error(reader.span_of("admin.listen"), "the admin interface on '" + admin.listen.text + "' needs a token",
                 "add token = \"${file:admin.token}\", or listen on 127.0.0.1");
  }
  if (token != nullptr && token->from_file) {
    reader.warning(token->key, "'token' stands in the file itself", "write \"${file:PATH}\" or \"${NAME}\"");
  }
  for (const ListenerConfig& listener : config.listeners) {
    if (!clash(listener.address, admin.listen)) continue;
    reader.error(reader.span_of("listen." + listener.name + ".address"),
                 "[listen." + listener.name + "] and [admin] listen on the same address");
  }
}

void validate_tls(const ListenerConfig& listener, const std::string& path, Reader& reader) {
  static constexpr const char* needs_tls[] = {"client_ca",         "client_auth",    "min_tls",
                                              "handshake_timeout", "max_handshakes", "ticket_rotation"};
  if (reader.mark(path + ".tls") == nullptr) {
    for (const char* key : needs_tls) {
      const Mark* mark = reader.mark(path + "." + key);
      if (mark != nullptr)
        reader.error(mark->key, "'" + std::string(key) + "' needs 'tls' beside it",
                     "add tls = [{ certificate = \"site.pem\", key = \"site.key\" }]");
    }
    return;
  }
  if (!listener.tls) return;
  const bool asks = listener.tls->client_auth != ClientAuth::off;
  if (asks && reader.mark(path + ".client_ca") == nullptr)
    reader.error(reader.key_span_of(path + ".client_auth"), "'client_auth' needs 'client_ca'");
  if (!asks && reader.mark(path + ".client_ca") != nullptr && reader.mark(path + ".client_auth") == nullptr) {
    reader.error(reader.key_span_of(path + ".client_ca"), "'client_ca' does nothing without 'client_auth'",
                 "add client_auth = \"require\"");
  }
  validate_file(listener.tls->client_ca, path + ".client_ca", false, reader);
  for (std::size_t i = 0; i < listener.tls->certificates.size(); ++i) {
    const std::string item = path + ".tls[" + std::to_string(i) + "]";
    validate_file(listener.tls->certificates[i].certificate, item + ".certificate", false, reader);
    validate_file(listener.tls->certificates[i].key, item + ".key", true, reader);
  }
}

}  // namespace

void validate_listeners(const Config& config, Reader& reader) {
  if (config.listeners.empty() && reader.mark("listen") == nullptr) {
    reader.error({}, "there is no listener", "write [listen.web] with address = \":8080\"");
  } else if (config.listeners.empty() && !reader.failed()) {
    reader.error(reader.span_of("listen"), "[listen] holds no listener", "write [listen.web] with address = \":8080\"");
  }
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    const ListenerConfig& listener = config.listeners[i];
    const std::string path = "listen." + listener.name;
    validate_tls(listener, path, reader);
    if (listener.redirect_to_https && listener.tls) {
      reader.error(reader.key_span_of(path + ".redirect_to"),
                   "'redirect_to' stands on a listener that speaks TLS already",
                   "remove it, or redirect from another listener");
    }
    for (std::size_t other = 0; other < i; ++other) {
      const ListenerConfig& earlier = config.listeners[other];
      if (!clash(listener.address, earlier.address)) continue;
      // The one that stands later in the file is the one at fault.
      const Span mine = reader.span_of(path + ".address");
      const Span theirs = reader.span_of("listen." + earlier.name + ".address");
      const bool mine_later = mine.line > theirs.line || (mine.line == theirs.line && mine.column > theirs.column);
      reader.error(mine_later ? mine : theirs,
                   "[listen." + (mine_later ? listener.name : earlier.name) + "] and [listen." +
                       (mine_later ? earlier.name : listener.name) + "] listen on the same address",
                   "the other is at line " + std::to_string((mine_later ? theirs : mine).line));
    }
  }
  validate_admin(config, reader);
}

}  // namespace understudy::config
