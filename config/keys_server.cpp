// The keys of [server], [admin], [log], [dns], [limits] and [listen.NAME].
#include "config/declare.hpp"

namespace understudy::config {
namespace {

constexpr double kib = 1024;
constexpr double mib = 1024 * 1024;
constexpr double gib = 1024 * 1024 * 1024;
constexpr double second = 1000;
constexpr double minute = 60 * second;
constexpr double hour = 60 * minute;
constexpr double day = 24 * hour;

template <class Owner>
void address_list(Declare<Owner>& declare, const char* name, std::vector<Address> Owner::*field,
                  std::uint16_t default_port, const Spec& spec) {
  declare.key(
      name, Type::address_list, spec,
      [field, default_port](Reader& reader, const Node& node, const Spot& spot, Owner& owner) {
        if (!node.is(Node::Kind::array)) return reader.wrong_type(node, spot, "an array of addresses");
        (owner.*field).clear();
        for (const Node& item : node.items) {
          if (!item.is(Node::Kind::text)) {
            reader.wrong_item(item, spot, "addresses");
            continue;
          }
          const auto address = reader.address(item, spot, default_port);
          if (!address) continue;
          if (!address->numeric() || address->host.empty() || address->is_unix()) {
            reader.error(item.span, "'" + std::string(spot.name) + "' takes IP addresses only");
          } else {
            (owner.*field).push_back(*address);
          }
        }
      },
      [field](const Owner& owner) {
        std::vector<std::string> items;
        for (const Address& address : owner.*field) items.push_back(toml_string(address.text));
        return list_text(items);
      });
}

void listen_address(Reader& reader, const Node& node, const Spot& spot, Address& to) {
  const auto address = reader.address(node, spot, 0);
  if (!address) return;
  if (!address->numeric()) {
    reader.error(node.span, "'" + std::string(spot.name) + "'" + Reader::quoted(node) + " names a host",
                 "write an IP address, or \":" + std::to_string(address->port) + "\" for every address");
    return;
  }
  to = *address;
}

std::string address_text(const Address& address) { return address.text.empty() ? "" : toml_string(address.text); }

void read_networks(Reader& reader, const Node& node, const Spot& spot, ListenerConfig& listener) {
  if (!node.is(Node::Kind::array))
    return reader.wrong_type(node, spot, "an array of networks", "write [\"10.0.0.0/8\"]");
  listener.trusted_proxies.clear();
  for (const Node& item : node.items) {
    if (!item.is(Node::Kind::text)) {
      reader.wrong_item(item, spot, "networks");
      continue;
    }
    const auto text = reader.text(item, spot, {.help = "", .required = true});
    if (!text) continue;
    const auto network = parse_cidr(*text);
    if (network) {
      listener.trusted_proxies.push_back(*network);
    } else {
      reader.error(item.span, "'" + std::string(spot.name) + "'" + Reader::quoted(item) + " is no network",
                   "write an address with a prefix, such as \"10.0.0.0/8\"");
    }
  }
}

std::string networks_text(const ListenerConfig& listener) {
  std::vector<std::string> items;
  for (const Cidr& network : listener.trusted_proxies) {
    items.push_back(toml_string(network.base.ip_string() + "/" + std::to_string(network.prefix)));
  }
  return list_text(items);
}

// One { certificate, key } or an array of them.
void read_certificates(Reader& reader, const Node& node, const Spot& spot, ListenerConfig& listener) {
  if (!listener.tls) listener.tls.emplace();
  listener.tls->certificates.clear();
  const auto read_one = [&](const Node& item, const std::string& path) {
    CertificateFiles files;
    reader.note_item(path, item);
    reader.read_table(certificate_section(), item, &files, path, spot.where + "." + std::string(spot.name));
    listener.tls->certificates.push_back(std::move(files));
  };
  if (node.is(Node::Kind::table)) return read_one(node, spot.path + "[0]");
  const char* wanted = "an array of { certificate, key } tables";
  if (!node.is(Node::Kind::array)) {
    return reader.wrong_type(node, spot, wanted, "write [{ certificate = \"site.pem\", key = \"site.key\" }]");
  }
  if (node.items.empty()) reader.error(node.span, "'tls' needs at least one certificate");
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    if (!item.is(Node::Kind::table)) {
      reader.wrong_item(item, spot, "{ certificate, key } tables",
                        "write [{ certificate = \"site.pem\", key = \"site.key\" }]");
    } else {
      read_one(item, spot.path + "[" + std::to_string(i) + "]");
    }
  }
}

// The keys beside `tls` that set how it works. They make the listener's TLS settings exist, so that
// validation can say that the certificates are missing.
void declare_listen_tls(Section& listen) {
  Section inner;
  Declare<ListenTls> declare(inner);
  declare.path("client_ca", &ListenTls::client_ca,
               {.help = "PEM file with the authorities that sign client certificates.", .example = "\"clients.pem\""});
  declare.choice("client_auth", &ListenTls::client_auth, {"off", "request", "require"},
                 {.help = "Whether clients are asked for a certificate, and refused without one. Needs `client_ca`.",
                  .example = "\"require\""});
  declare
      .key(
          "min_tls", Type::choice, {.help = "The oldest TLS version that is accepted.", .example = "\"1.3\""},
          [](Reader& reader, const Node& node, const Spot& spot, ListenTls& tls) {
            if (const auto index = reader.choice(node, spot, {"1.2", "1.3"})) tls.allow_tls12 = *index == 0;
          },
          [](const ListenTls& tls) { return toml_string(tls.allow_tls12 ? "1.2" : "1.3"); })
      .choices = {"1.2", "1.3"};
  declare.duration("handshake_timeout", &ListenTls::handshake_timeout,
                   {.help = "Longest TLS handshake.", .min = 100, .max = minute, .example = "\"3s\""});
  declare.integer("max_handshakes", &ListenTls::max_handshakes,
                  {.help = "Handshakes at the same time per worker; more are closed before any cryptography.",
                   .min = 1,
                   .max = 65536,
                   .example = "512"});
  declare.duration(
      "ticket_rotation", &ListenTls::ticket_rotation,
      {.help = "How often the key of session tickets changes.", .min = minute, .max = 7 * day, .example = "\"6h\""});
  for (Key& key : inner.keys) {
    key.default_value = key.write(inner.defaults());
    key.read = [read = key.read](Reader& reader, const Node& node, const Spot& spot, void* object) {
      auto& listener = *static_cast<ListenerConfig*>(object);
      if (!listener.tls) listener.tls.emplace();
      read(reader, node, spot, &*listener.tls);
    };
    key.write = [write = key.write](const void* object) {
      const auto& listener = *static_cast<const ListenerConfig*>(object);
      return listener.tls ? write(&*listener.tls) : "";
    };
    listen.keys.push_back(key);
  }
}

}  // namespace

const Section& server_section() {
  static const Section section = [] {
    Section made{.id = "server", .header = "[server]", .help = "The process itself."};
    Declare<ServerConfig> declare(made);
    declare.integer("workers", &ServerConfig::workers,
                    {.help = "Threads that carry traffic; \"auto\" is one per usable core.",
                     .min = 1,
                     .max = 1024,
                     .word = "auto",
                     .example = "4",
                     .restart = true});
    declare.path("state_dir", &ServerConfig::state_dir,
                 {.help = "Folder for the active tier, operator state and incidents; \"none\" keeps nothing "
                          "over a restart.",
                  .word = "none",
                  .example = "\"/var/lib/understudy\"",
                  .unset = "$STATE_DIRECTORY, else \"/var/lib/understudy\"",
                  .restart = true});
    declare.duration("shutdown_grace", &ServerConfig::shutdown_grace,
                     {.help = "How long a stop waits for exchanges and tunnels to end, and how long tunnels live on "
                              "whose endpoint a reload or its "
                              "name took away.",
                      .max = day,
                      .example = "\"1m\""});
    declare.duration(
        "shutdown_lead", &ServerConfig::shutdown_lead,
        {.help = "How long `/readyz` answers 503 before listeners stop accepting.", .max = hour, .example = "\"5s\""});
    declare.text(
        "user", &ServerConfig::user,
        {.help =
             "User to become when started as root. Ports below 1024 are opened before; one that a reload adds needs a "
             "restart, or a start as that user with CAP_NET_BIND_SERVICE.",
         .example = "\"understudy\"",
         .unset = "keep",
         .restart = true});
    declare.text("group", &ServerConfig::group,
                 {.help = "Group to become when started as root.",
                  .example = "\"understudy\"",
                  .unset = "the user's",
                  .restart = true});
    declare.integer("max_connections", &ServerConfig::max_connections,
                    {.help = "Client connections at the same time; \"auto\" computes it from the limit of open files.",
                     .min = 1,
                     .max = 10'000'000,
                     .word = "auto",
                     .example = "20000",
                     .restart = true});
    declare.integer("max_connections_per_ip", &ServerConfig::max_connections_per_ip,
                    {.help = "Client connections at the same time from one address.",
                     .min = 1,
                     .max = 10'000'000,
                     .example = "128"});
    declare.integer("fd_reserve", &ServerConfig::fd_reserve,
                    {.help = "Open files kept free for checks, the admin interface and logs.",
                     .min = 8,
                     .max = 65536,
                     .example = "64",
                     .restart = true});
    declare.boolean("watch_config", &ServerConfig::watch_config,
                    {.help = "Reload when the file changes.", .example = "true"});
    declare.size("max_buffer_memory", &ServerConfig::max_buffer_memory,
                 {.help = "Memory for data on its way; above it reading stops. \"auto\" is a quarter of the "
                          "machine's memory.",
                  .min = mib,
                  .word = "auto",
                  .example = "\"512MiB\"",
                  .restart = true});
    return made;
  }();
  return section;
}

const Section& admin_section() {
  static const Section section = [] {
    Section made{.id = "admin", .header = "[admin]", .help = "The admin interface: API, status page and metrics."};
    Declare<AdminConfig> declare(made);
    declare.key(
        "listen", Type::address,
        {.help = "Where it listens. A TCP address other than loopback needs a `token`.",
         .example = "\"127.0.0.1:9900\"",
         .unset = "\"unix:/run/understudy/admin.sock\"; started by an ordinary user: in $XDG_RUNTIME_DIR/understudy",
         .restart = true},
        [](Reader& reader, const Node& node, const Spot& spot, AdminConfig& admin) {
          listen_address(reader, node, spot, admin.listen);
        },
        [](const AdminConfig& admin) { return address_text(admin.listen); });
    declare.key(
        "token", Type::secret,
        {.help = "Bearer token that callers on TCP must send.", .example = "\"${file:admin.token}\"", .unset = "none"},
        [](Reader& reader, const Node& node, const Spot& spot, AdminConfig& admin) {
          const auto text = reader.text(node, spot, {});
          if (!text) return;
          if (text->find_first_of(" \t") != std::string::npos)
            return reader.error(node.span, "'token' contains a space");
          admin.token = Secret{*text};
        },
        [](const AdminConfig& admin) { return admin.token ? toml_string("***") : ""; });
    declare.texts_list(
        "hosts", &AdminConfig::hosts,
        {.help = "Host names, besides loopback, under which callers may ask.", .example = "[\"lb.example.org:9900\"]"});
    declare.integer("max_connections", &AdminConfig::max_connections,
                    {.help = "Connections at the same time.", .min = 1, .max = 4096, .example = "64"});
    return made;
  }();
  return section;
}

const Section& access_section() {
  static const Section section = [] {
    Section made{.id = "log.access",
                 .header = "[log.access]",
                 .help = "The access log. `access = \"json\"` is short for `access = { format = \"json\" }`."};
    Declare<LogConfig> declare(made);
    declare.choice(
        "format", &LogConfig::access_format, {"off", "json", "combined"},
        {.help = "One JSON object a line, the combined format of web servers, or nothing.", .example = "\"json\""});
    declare.path(
        "path", &LogConfig::access_path,
        {.help = "File to write to.", .example = "\"/var/log/understudy/access.log\"", .unset = "standard error"});
    return made;
  }();
  return section;
}

const Section& log_section() {
  static const Section section = [] {
    Section made{.id = "log", .header = "[log]", .help = "The event log and the access log."};
    Declare<LogConfig> declare(made);
    declare.choice("level", &LogConfig::level, {"trace", "debug", "info", "warn", "error"},
                   {.help = "The least important events that are logged.", .example = "\"debug\""});
    declare.path(
        "path", &LogConfig::path,
        {.help = "File for events.", .example = "\"/var/log/understudy/understudy.log\"", .unset = "standard error"});
    Key& access = declare.mixed(
        "access", R"({"anyOf":[{"enum":["off","json","combined"]},{"$ref":"#/definitions/log.access"}]})",
        {.help = "The access log: a format, or a table with format and path.",
         .example = "{ format = \"json\", path = \"/var/log/understudy/access.log\" }",
         .shape = "\"off\", \"json\", \"combined\" or a table"},
        [](Reader& reader, const Node& node, const Spot& spot, LogConfig& log) {
          if (node.is(Node::Kind::table))
            return reader.read_table(access_section(), node, &log, spot.path, "[log.access]");
          if (const auto index = reader.choice(node, spot, {"off", "json", "combined"}))
            log.access_format = static_cast<AccessFormat>(*index);
        },
        [](const LogConfig& log) {
          const std::string format = access_section().keys[0].write(&log);
          return log.access_path.empty() ? format : inline_table(access_section(), &log);
        });
    access.section = &access_section();
    declare.boolean("query", &LogConfig::query,
                    {.help = "Whether the access log holds query strings.", .example = "false"});
    return made;
  }();
  return section;
}

const Section& dns_section() {
  static const Section section = [] {
    Section made{.id = "dns", .header = "[dns]", .help = "How host names of endpoints are resolved."};
    Declare<DnsConfig> declare(made);
    address_list(declare, "servers", &DnsConfig::servers, 53,
                 {.help = "Name servers to ask, port 53 unless given. Empty: the system's.",
                  .example = "[\"10.0.0.2\", \"[fd00::2]:53\"]"});
    declare.duration("min_ttl", &DnsConfig::min_ttl,
                     {.help = "Answers are kept at least this long.", .min = 100, .max = day, .example = "\"5s\""});
    declare.duration("max_ttl", &DnsConfig::max_ttl,
                     {.help = "Answers are kept at most this long.", .min = 100, .max = 7 * day, .example = "\"1m\""});
    declare.duration("timeout", &DnsConfig::timeout,
                     {.help = "Longest wait for an answer.", .min = 100, .max = minute, .example = "\"2s\""});
    declare.integer("max_addresses", &DnsConfig::max_addresses,
                    {.help = "Addresses of one name that become endpoints.", .min = 1, .max = 1024, .example = "16"});
    return made;
  }();
  return section;
}

const Section& limits_section() {
  static const Section section = [] {
    Section made{.id = "listen.limits",
                 .header = "[listen.NAME.limits]",
                 .also = "[limits]",
                 .help = "What one client may do. `[limits]` sets the defaults of every listener."};
    Declare<Limits> declare(made);
    declare.duration("header_timeout", &Limits::header_timeout,
                     {.help = "Longest time for a request's head, from its first byte.",
                      .min = 100,
                      .max = 10 * minute,
                      .example = "\"5s\""});
    declare.duration("first_byte_timeout", &Limits::first_byte_timeout,
                     {.help = "Longest wait for the first byte of a new connection.",
                      .min = 100,
                      .max = 10 * minute,
                      .example = "\"5s\""});
    declare.duration(
        "idle_timeout", &Limits::idle_timeout,
        {.help = "Longest pause between two requests of a connection.", .min = 100, .max = day, .example = "\"30s\""});
    declare.duration("body_timeout", &Limits::body_timeout,
                     {.help = "Longest pause within a request's body.", .min = 100, .max = hour, .example = "\"30s\""});
    declare.duration("write_timeout", &Limits::write_timeout,
                     {.help = "Longest time in which a client takes no byte of an answer.",
                      .min = 100,
                      .max = hour,
                      .example = "\"30s\""});
    declare.quantity("min_rate", Type::byte_rate, &Limits::min_rate,
                     {.help = "Least rate of a body, either way, after 5 seconds.",
                      .min = 1,
                      .max = gib,
                      .word = "none",
                      .example = "\"1KiB/s\""});
    declare.size("max_header_bytes", &Limits::max_header_bytes,
                 {.help = "Largest head of a request.", .min = kib, .max = kLargestHead, .example = "\"32KiB\""});
    declare.integer("max_headers", &Limits::max_headers,
                    {.help = "Most header fields of a request.", .min = 8, .max = kMostHeadFields, .example = "200"});
    declare.size("max_uri_bytes", &Limits::max_uri_bytes,
                 {.help = "Longest request target.", .min = 64, .max = kLargestHead, .example = "\"4KiB\""});
    declare.size(
        "max_body_bytes", &Limits::max_body_bytes,
        {.help = "Largest request body. A route may override it.", .min = 1, .word = "none", .example = "\"10MiB\""});
    declare.size("drain_body_bytes", &Limits::drain_body_bytes,
                 {.help = "How much of an unwanted body is read to save the connection.",
                  .max = 64 * mib,
                  .example = "\"128KiB\""});
    declare.integer(
        "max_requests_per_connection", &Limits::max_requests_per_connection,
        {.help = "Requests after which a connection is closed.", .min = 1, .max = 1'000'000'000, .example = "1000"});
    return made;
  }();
  return section;
}

const Section& certificate_section() {
  static const Section section = [] {
    Section made{.id = "certificate",
                 .header = "[listen.NAME].tls",
                 .help = "A certificate of a listener; the right one is chosen by the name the client asks for."};
    Declare<CertificateFiles> declare(made);
    declare.path("certificate", &CertificateFiles::certificate,
                 {.help = "PEM file with the certificate and its chain.", .example = "\"site.pem\"", .required = true});
    declare.path("key", &CertificateFiles::key,
                 {.help = "PEM file with the private key.", .example = "\"site.key\"", .required = true});
    return made;
  }();
  return section;
}

const Section& listen_section() {
  static const Section section = [] {
    Section made{.id = "listen", .header = "[listen.NAME]", .help = "An address on which clients are served."};
    Declare<ListenerConfig> declare(made);
    declare.key(
        "address", Type::address,
        {.help = "IP address and port, `:PORT` for every address, or `unix:PATH`.",
         .example = "\":8080\"",
         .required = true},
        [](Reader& reader, const Node& node, const Spot& spot, ListenerConfig& listener) {
          listen_address(reader, node, spot, listener.address);
        },
        [](const ListenerConfig& listener) { return address_text(listener.address); });
    declare.mixed(
        "redirect_to", R"({"enum":["https"]})",
        {.help = "`\"https\"` answers every request with a redirect to the same URL over HTTPS.",
         .example = "\"https\"",
         .unset = "no redirect",
         .shape = "\"https\""},
        [](Reader& reader, const Node& node, const Spot& spot, ListenerConfig& listener) {
          if (reader.choice(node, spot, {"https"})) listener.redirect_to_https = true;
        },
        [](const ListenerConfig& listener) { return listener.redirect_to_https ? toml_string("https") : ""; });
    Key& tls = declare.mixed(
        "tls",
        R"({"anyOf":[{"$ref":"#/definitions/certificate"},{"type":"array","minItems":1,"items":{"$ref":"#/definitions/certificate"}}]})",
        {.help = "Certificates; with them the listener speaks TLS.",
         .example = "[{ certificate = \"site.pem\", key = \"site.key\" }]",
         .unset = "clear text",
         .shape = "one or more { certificate, key }"},
        read_certificates, [](const ListenerConfig& listener) {
          if (!listener.tls || listener.tls->certificates.empty()) return std::string();
          std::vector<std::string> items;
          for (const CertificateFiles& files : listener.tls->certificates)
            items.push_back(inline_table(certificate_section(), &files));
          return list_text(items);
        });
    tls.section = &certificate_section();
    declare_listen_tls(made);
    declare.key("trusted_proxies", Type::network_list,
                {.help = "Networks whose `X-Forwarded-*` and `Forwarded` fields are believed.",
                 .example = "[\"10.0.0.0/8\", \"::1\"]"},
                read_networks, networks_text);
    declare.table("limits", &ListenerConfig::limits, limits_section(), {.help = "What one client may do here."},
                  "limits");
    return made;
  }();
  return section;
}

}  // namespace understudy::config
