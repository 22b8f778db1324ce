// The keys of [pool.NAME] itself: tiers, balancing, timeouts, retries. keys_failover.cpp has what moves traffic.

#include "config/declare.hpp"

namespace understudy::config {
namespace {

constexpr double second = 1000;
constexpr double minute = 60 * second;
constexpr double hour = 60 * minute;
constexpr double day = 24 * hour;

// --- tiers and endpoints ---

void read_endpoints(Reader& reader, const Node& node, const Spot& spot, std::vector<EndpointConfig>& endpoints) {
  if (!node.is(Node::Kind::array)) {
    const std::string hint =
        node.is(Node::Kind::text) && node.source.empty() ? "write [" + toml_string(printable(node.text, 40)) + "]" : "";
    return reader.wrong_type(node, spot, "an array of endpoints", hint);
  }
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    const std::string path = spot.path + "[" + std::to_string(i) + "]";
    reader.note_item(path, item);
    EndpointConfig endpoint;
    if (item.is(Node::Kind::table)) {
      reader.read_table(endpoint_section(), item, &endpoint, path, spot.where + "." + std::string(spot.name));
    } else if (!item.is(Node::Kind::text)) {
      reader.wrong_item(item, spot, "addresses and { address, weight, name } tables");
      continue;
    } else if (const auto address = reader.address(item, spot, 0)) {
      endpoint.address = *address;
    }
    if (!item.unread) endpoints.push_back(std::move(endpoint));
  }
}

std::string endpoint_text(const EndpointConfig& endpoint) {
  if (endpoint.name.empty() && endpoint.weight == 1) return toml_string(endpoint.address.text);
  return inline_table(endpoint_section(), &endpoint);
}

std::string endpoints_text(const std::vector<EndpointConfig>& endpoints) {
  std::vector<std::string> items;
  items.reserve(endpoints.size());
  for (const EndpointConfig& endpoint : endpoints) items.push_back(endpoint_text(endpoint));
  return list_text(items);
}

// Whether the tiers are what `primary` and `standby` can say.
bool is_simple(const PoolConfig& pool) {
  return !pool.tiers.empty() && pool.tiers.size() <= 2 && pool.tiers[0].name == "primary" &&
         (pool.tiers.size() == 1 || pool.tiers[1].name == "standby");
}

void declare_simple_tier(Declare<PoolConfig>& declare, const char* name, std::size_t index, std::string_view help,
                         std::string_view example) {
  Key& key = declare.mixed(
      name, R"({"type":"array","minItems":1,"items":{"$ref":"#/definitions/endpoint_or_address"}})",
      {.help = help, .example = example, .shape = "array of addresses or { address, weight, name }"},
      [name](Reader& reader, const Node& node, const Spot& spot, PoolConfig& pool) {
        TierConfig tier{name, {}};
        read_endpoints(reader, node, spot, tier.endpoints);
        pool.tiers.push_back(std::move(tier));
      },
      [index](const PoolConfig& pool) {
        return is_simple(pool) && index < pool.tiers.size() ? endpoints_text(pool.tiers[index].endpoints) : "";
      });
  key.section = &endpoint_section();
}

void read_tiers(Reader& reader, const Node& node, const Spot& spot, PoolConfig& pool) {
  if (node.is(Node::Kind::text)) {
    if (const auto index = reader.choice(node, spot, {"exclusive", "shared"}))
      pool.tiers_mode = static_cast<TiersMode>(*index);
    reader.set_origin(spot.path + "_mode", reader.place(reader.key_span_of(spot.path)));
    return;
  }
  if (!node.is(Node::Kind::array)) {
    return reader.wrong_type(node, spot, "an array of { name, endpoints } tables, \"exclusive\" or \"shared\"");
  }
  if (!pool.tiers.empty()) {
    return reader.error(node.span, "'tiers' can't list tiers beside 'primary' and 'standby'",
                        "give all of them in 'tiers'");
  }
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    const std::string path = spot.path + "[" + std::to_string(i) + "]";
    reader.note_item(path, item);
    TierConfig tier;
    if (item.is(Node::Kind::table)) {
      reader.read_table(tier_section(), item, &tier, path, spot.where + ".tiers");
    } else {
      reader.wrong_item(item, spot, "{ name, endpoints } tables");
    }
    pool.tiers.push_back(std::move(tier));
  }
}

std::string tiers_text(const PoolConfig& pool) {
  if (is_simple(pool) || pool.tiers.empty()) return "";
  std::vector<std::string> items;
  for (const TierConfig& tier : pool.tiers) items.push_back(inline_table(tier_section(), &tier));
  return list_text(items);
}

// --- balancing ---

void read_hash_on(Reader& reader, const Node& node, const Spot& spot, PoolConfig& pool) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  for (const auto& [prefix, key] :
       {std::pair<std::string_view, HashKey>{"header", HashKey::header}, {"cookie", HashKey::cookie}}) {
    if (text->substr(0, prefix.size()) != prefix) continue;
    const std::string name =
        text->size() > prefix.size() + 1 && (*text)[prefix.size()] == ':' ? text->substr(prefix.size() + 1) : "";
    if (!is_token(name)) {
      return reader.error(node.span, "'hash_on' needs the name of a " + std::string(prefix),
                          key == HashKey::header ? "write \"header:X-User\"" : "write \"cookie:sid\"");
    }
    pool.hash_on = key;
    pool.hash_name = name;
    return;
  }
  if (const auto index = reader.choice(node, spot, {"client_address", "path", "header:NAME", "cookie:NAME"})) {
    pool.hash_on = *index == 0 ? HashKey::client_address : HashKey::path;
    pool.hash_name.clear();
  }
}

std::string hash_on_text(const PoolConfig& pool) {
  switch (pool.hash_on) {
    case HashKey::client_address: return toml_string("client_address");
    case HashKey::path: return toml_string("path");
    case HashKey::header: return toml_string("header:" + pool.hash_name);
    case HashKey::cookie: return toml_string("cookie:" + pool.hash_name);
  }
  return "";
}

void read_cookie(Reader& reader, const Node& node, const Spot& spot, StickyConfig& sticky) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  if (!is_token(*text))
    return reader.error(node.span,
                        "'" + std::string(spot.name) + "'" + Reader::quoted(node) + " can't be the name of a cookie");
  sticky.cookie = *text;
}

}  // namespace

const Section& endpoint_section() {
  static const Section section = [] {
    Section made{
        .id = "endpoint", .header = "[pool.NAME].primary", .help = "An endpoint, where it is more than an address."};
    Declare<EndpointConfig> declare(made);
    declare.key(
        "address", Type::address,
        {.help = "Host and port, or `unix:PATH`. A host name is resolved again when its answer expires.",
         .example = "\"10.0.0.12:3000\"",
         .required = true},
        [](Reader& reader, const Node& node, const Spot& spot, EndpointConfig& endpoint) {
          if (const auto address = reader.address(node, spot, 0)) endpoint.address = *address;
        },
        [](const EndpointConfig& endpoint) {
          return endpoint.address.text.empty() ? "" : toml_string(endpoint.address.text);
        });
    declare.integer(
        "weight", &EndpointConfig::weight,
        {.help = "Share of the traffic, relative to the others of its tier.", .min = 1, .max = 1000, .example = "2"});
    declare.key(
        "name", Type::text,
        {.help = "What it is called in status, metrics and commands.", .example = "\"p2\"", .unset = "the address"},
        [](Reader& reader, const Node& node, const Spot& spot, EndpointConfig& endpoint) {
          const auto name = reader.text(node, spot, {});
          if (name && reader.check_name(*name, node.span, "an endpoint")) endpoint.name = *name;
        },
        [](const EndpointConfig& endpoint) { return endpoint.name.empty() ? "" : toml_string(endpoint.name); });
    return made;
  }();
  return section;
}

const Section& tier_section() {
  static const Section section = [] {
    Section made{.id = "tier",
                 .header = "[pool.NAME].tiers",
                 .help = "A tier, where there are more than `primary` and `standby`. The first that can serve does."};
    Declare<TierConfig> declare(made);
    declare.key(
        "name", Type::text, {.help = "What the tier is called.", .example = "\"primary\"", .required = true},
        [](Reader& reader, const Node& node, const Spot& spot, TierConfig& tier) {
          const auto name = reader.text(node, spot, {});
          if (name && reader.check_name(*name, node.span, "a tier")) tier.name = *name;
        },
        [](const TierConfig& tier) { return tier.name.empty() ? "" : toml_string(tier.name); });
    Key& endpoints = declare.mixed(
        "endpoints", R"({"type":"array","minItems":1,"items":{"$ref":"#/definitions/endpoint_or_address"}})",
        {.help = "Its endpoints.",
         .example = "[\"10.0.0.11:3000\"]",
         .required = true,
         .shape = "array of addresses or { address, weight, name }"},
        [](Reader& reader, const Node& node, const Spot& spot, TierConfig& tier) {
          read_endpoints(reader, node, spot, tier.endpoints);
        },
        [](const TierConfig& tier) { return tier.endpoints.empty() ? "" : endpoints_text(tier.endpoints); });
    endpoints.section = &endpoint_section();
    return made;
  }();
  return section;
}

const Section& sticky_section() {
  static const Section section = [] {
    Section made{.id = "sticky",
                 .header = "[pool.NAME].sticky",
                 .help =
                     "A cookie that keeps a client at its endpoint. `sticky = \"NAME\"` is short for `sticky "
                     "= { cookie = \"NAME\" }`."};
    Declare<StickyConfig> declare(made);
    declare.key("cookie", Type::text, {.help = "Name of the cookie.", .example = "\"lb\"", .required = true},
                read_cookie,
                [](const StickyConfig& sticky) { return sticky.cookie.empty() ? "" : toml_string(sticky.cookie); });
    declare.boolean("secure", &StickyConfig::secure,
                    {.help = "Whether browsers may send it over HTTPS only.", .example = "true"});
    return made;
  }();
  return section;
}

const Section& retry_section() {
  static const Section section = [] {
    Section made{.id = "pool.retry",
                 .header = "[pool.NAME.retry]",
                 .help = "Repeating requests at another endpoint, within a budget."};
    Declare<RetryConfig> declare(made);
    declare.integer("max", &RetryConfig::max, {.help = "Attempts after the first.", .max = 20, .example = "1"});
    declare.quantity(
        "budget", Type::share, &RetryConfig::budget,
        {.help = "Retries as a share of requests. Of what there is one client address (IPv6: /64) uses up half at most "
                 "while there are others.",
         .max = 1,
         .example = "\"10%\""});
    declare.quantity("budget_floor", Type::rate, &RetryConfig::budget_floor,
                     {.help = "Retries that are always allowed.", .max = 1e6, .example = "\"5/s\""});
    declare.boolean("on_5xx", &RetryConfig::on_5xx,
                    {.help = "Repeat idempotent requests that were answered 502, 503 or 504.", .example = "true"});
    declare.boolean(
        "safe_on_5xx", &RetryConfig::safe_on_5xx,
        {.help = "Whether a GET, HEAD or OPTIONS that was answered 500 or above is repeated, once, at another "
                 "endpoint. The second answer is the client's; with an empty budget the first is.",
         .example = "false"});
    declare.boolean(
        "hedge", &RetryConfig::hedge,
        {.help = "Whether a GET, HEAD or OPTIONS without a body is sent to a second endpoint too, once, when the first "
                 "has not answered for the longest of its usual p99, 3 times its median and 10 ms. The first good "
                 "answer wins. Counts as a retry. Requests whose cookie names their endpoint stay with it.",
         .example = "false"});
    declare.quantity("hedge_share", Type::share, &RetryConfig::hedge_share,
                     {.help = "Such second attempts as a share of requests, unless the slow endpoint is suspect.",
                      .max = 1,
                      .example = "\"2%\""});
    return made;
  }();
  return section;
}

const Section& openings_section() {
  static const Section section = [] {
    Section made{.id = "pool.openings",
                 .header = "[pool.NAME.openings]",
                 .help =
                     "WebSockets that are being opened, so that a fleet of devices that comes back does not overrun "
                     "its servers. The limits are per endpoint, over all workers. Open tunnels don't count."};
    Declare<OpeningsConfig> declare(made);
    declare.boolean(
        "adaptive", &OpeningsConfig::adaptive,
        {.help = "Whether the limit is found by trying: few after an endpoint was away, twice as many every "
                 "two seconds while openings take what they usually take, half as many when they take longer, fewer "
                 "when one is answered 5xx.",
         .example = "false"});
    declare.integer(
        "max", &OpeningsConfig::max,
        {.help = "Openings in progress at most.", .min = 1, .max = 1'000'000, .word = "none", .example = "64"});
    declare.quantity(
        "rate", Type::rate, &OpeningsConfig::rate,
        {.help = "Openings in a second at most.", .min = 0.1, .max = 1e6, .word = "none", .example = "\"50/s\""});
    declare.integer(
        "queue", &OpeningsConfig::queue,
        {.help = "How many of a pool may wait for their turn. Client addresses take turns. Who finds no place "
                 "is answered 503 and told when to come back.",
         .min = 1,
         .max = 1'000'000,
         .word = "none",
         .example = "1024"});
    declare.duration("wait", &OpeningsConfig::wait,
                     {.help = "Longest wait for a turn.", .min = 100, .max = 10 * minute, .example = "\"5s\""});
    return made;
  }();
  return section;
}

const Section& upstream_tls_section() {
  static const Section section = [] {
    Section made{.id = "pool.tls",
                 .header = "[pool.NAME.tls]",
                 .help = "TLS towards the endpoints. `tls = {}` turns it on with every default."};
    Declare<UpstreamTls> declare(made);
    declare.text("server_name", &UpstreamTls::server_name,
                 {.help = "Name that the certificate must bear, also sent as SNI. Needed where endpoints are "
                          "IP addresses.",
                  .example = "\"app.internal\"",
                  .unset = "the endpoint's host"});
    declare.path(
        "ca", &UpstreamTls::ca,
        {.help = "PEM file with the authorities to trust.", .example = "\"internal-ca.pem\"", .unset = "the system's"});
    declare.path("certificate", &UpstreamTls::certificate,
                 {.help = "PEM file with our own certificate, for endpoints that ask for one. Needs `key`.",
                  .example = "\"client.pem\""});
    declare.path("key", &UpstreamTls::key, {.help = "PEM file with its private key.", .example = "\"client.key\""});
    declare.boolean("insecure", &UpstreamTls::insecure,
                    {.help = "Do not verify certificates. Only for tests.", .example = "true"});
    return made;
  }();
  return section;
}

const Section& pool_section() {
  static const Section section = [] {
    Section made{.id = "pool",
                 .header = "[pool.NAME]",
                 .help = "Endpoints that serve one purpose, in tiers: the first tier that can serve does."};
    Declare<PoolConfig> declare(made);
    declare_simple_tier(declare, "primary", 0, "Endpoints of the first tier.",
                        "[\"10.0.0.11:3000\", { address = \"10.0.0.12:3000\", weight = 2, name = \"p2\" }]");
    declare_simple_tier(declare, "standby", 1, "Endpoints of the second tier.", "[\"10.0.1.11:3000\"]");
    Key& tiers = declare.mixed(
        "tiers",
        R"({"anyOf":[{"enum":["exclusive","shared"]},{"type":"array","minItems":1,"items":{"$ref":"#/definitions/tier"}}]})",
        {.help = "More than two tiers, in order, instead of `primary` and `standby`. As a word it is short "
                 "for `tiers_mode`.",
         .example = "[{ name = \"primary\", endpoints = [\"10.0.0.11:3000\"] }, { name = \"far\", endpoints "
                    "= [\"10.9.0.11:3000\"] }]",
         .shape = "array of { name, endpoints }"},
        read_tiers, tiers_text);
    tiers.section = &tier_section();
    declare.choice("tiers_mode", &PoolConfig::tiers_mode, {"exclusive", "shared"},
                   {.help = "Whether only one tier at a time may be written to. With \"shared\" (stateless "
                            "endpoints) single requests may reach another tier.",
                    .example = "\"shared\""});
    declare.choice("balance", &PoolConfig::balance, {"round_robin", "least_request", "latency", "random", "hash"},
                   {.help = "How an endpoint is chosen within a tier.", .example = "\"latency\""});
    Key& hash_on = declare.mixed(
        "hash_on", R"({"type":"string","pattern":"^(client_address|path|header:.+|cookie:.+|\\$\\{.+\\})$"})",
        {.help = "What `balance = \"hash\"` looks at.",
         .example = "\"header:X-User\"",
         .shape = "\"client_address\", \"path\", \"header:NAME\" or \"cookie:NAME\""},
        read_hash_on, hash_on_text);
    show_only_if(hash_on, made, [](const void* object) {
      return static_cast<const PoolConfig*>(object)->balance == BalanceKind::hash;
    });
    Key& sticky = declare.mixed(
        "sticky", R"({"anyOf":[{"type":"string","minLength":1},{"$ref":"#/definitions/sticky"}]})",
        {.help = "Cookie that keeps a client at its endpoint.",
         .example = "\"lb\"",
         .unset = "off",
         .shape = "a name or { cookie, secure }"},
        [](Reader& reader, const Node& node, const Spot& spot, PoolConfig& pool) {
          if (!node.is(Node::Kind::table)) return read_cookie(reader, node, spot, pool.sticky);
          reader.read_table(sticky_section(), node, &pool.sticky, spot.path, spot.where + ".sticky");
        },
        [](const PoolConfig& pool) {
          if (pool.sticky.cookie.empty()) return std::string();
          return pool.sticky.secure ? inline_table(sticky_section(), &pool.sticky) : toml_string(pool.sticky.cookie);
        });
    sticky.section = &sticky_section();
    declare.duration("connect_timeout", &PoolConfig::connect_timeout,
                     {.help = "Longest time to open a connection to an endpoint.",
                      .min = 10,
                      .max = 10 * minute,
                      .example = "\"500ms\""});
    declare.duration(
        "response_timeout", &PoolConfig::response_timeout,
        {.help = "Longest wait for the first byte of an answer.", .min = 10, .max = day, .example = "\"10s\""});
    declare.duration("try_timeout", &PoolConfig::try_timeout,
                     {.help = "After this a repeatable request is tried elsewhere.",
                      .min = 10,
                      .max = day,
                      .word = "none",
                      .example = "\"2s\""});
    declare.duration("idle_body_timeout", &PoolConfig::idle_body_timeout,
                     {.help = "Longest pause within an answer's body.", .min = 10, .max = day, .example = "\"30s\""});
    declare.duration("request_timeout", &PoolConfig::request_timeout,
                     {.help = "Longest whole exchange, retries included.",
                      .min = 10,
                      .max = day,
                      .word = "none",
                      .example = "\"2m\""});
    declare.duration(
        "keepalive_timeout", &PoolConfig::keepalive_timeout,
        {.help = "How long an idle connection to an endpoint is kept.", .min = 100, .max = day, .example = "\"10s\""});
    declare.integer("keepalive_connections", &PoolConfig::keepalive_connections,
                    {.help = "Idle connections kept per endpoint and worker.", .max = 65536, .example = "16"});
    declare.integer("max_in_flight", &PoolConfig::max_in_flight,
                    {.help = "Requests at the same time per endpoint.",
                     .min = 1,
                     .max = 1'000'000,
                     .word = "none",
                     .example = "200"});
    declare.size("max_response_header_bytes", &PoolConfig::max_response_header_bytes,
                 {.help = "Largest head of an answer.", .min = 1024, .max = kLargestHead, .example = "\"32KiB\""});
    declare.duration(
        "slow_start", &PoolConfig::slow_start,
        {.help = "Time over which a recovered endpoint is given its full share.", .max = hour, .example = "\"30s\""});
    declare.quantity("panic_threshold", Type::share, &PoolConfig::panic_threshold,
                     {.help = "Share of available endpoints of a tier below which all of them are used.",
                      .max = 1,
                      .example = "\"30%\""});
    declare.boolean(
        "epoch_header", &PoolConfig::epoch_header,
        {.help = "Send the epoch of the serving tier to endpoints as `Understudy-Epoch`.", .example = "true"});
    declare.table("check", &PoolConfig::check, check_section(), {.help = "How endpoints are probed."}, "check");
    declare.table("passive", &PoolConfig::passive, passive_section(), {.help = "Ejection by traffic."});
    declare.table("degraded", &PoolConfig::degraded, degraded_section(),
                  {.help = "What is worse than usual, and not dead."});
    declare_fitness(made);
    declare.table("failover", &PoolConfig::failover, failover_section(), {.help = "Moving between tiers."});
    declare.table("retry", &PoolConfig::retry, retry_section(), {.help = "Repeating requests."});
    declare.table("openings", &PoolConfig::openings, openings_section(), {.help = "WebSockets that are being opened."});
    declare.table("tls", &PoolConfig::tls, upstream_tls_section(), {.help = "TLS towards the endpoints."});
    return made;
  }();
  return section;
}

}  // namespace understudy::config
