// The keys of what moves traffic: [pool.NAME.passive], [pool.NAME.degraded] and [pool.NAME.failover].
#include <charconv>

#include "config/declare.hpp"

namespace understudy::config {
namespace {

constexpr double second = 1000;
constexpr double hour = 3600 * second;
constexpr double day = 24 * hour;

void read_min_available(Reader& reader, const Node& node, const Spot& spot, FailoverConfig& failover) {
  if (node.is(Node::Kind::text) && !node.text.empty() && node.text.back() == '%') {
    const auto share = reader.quantity(Type::share, node, spot, {.help = "", .min = 0.0001, .max = 1});
    if (share) failover.min_available_share = *share;
    return;
  }
  std::int64_t count = node.integer;
  if (!node.is(Node::Kind::integer)) {
    const auto text = reader.text(node, spot, {});
    if (!text) return;
    const auto result = std::from_chars(text->data(), text->data() + text->size(), count);
    if (result.ec != std::errc() || result.ptr != text->data() + text->size()) {
      return reader.error(node.span, "'min_available'" + Reader::quoted(node) + " is neither a count nor a share",
                          "write \"1\" or \"50%\"");
    }
  }
  if (count < 1 || count > 10'000) return reader.error(node.span, "'min_available' must be from 1 to 10000");
  failover.min_available_count = static_cast<std::uint32_t>(count);
  failover.min_available_share.reset();
}

std::string min_available_text(const FailoverConfig& failover) {
  if (failover.min_available_share) return toml_string(format_share(*failover.min_available_share));
  return toml_string(std::to_string(failover.min_available_count));
}

void read_failback(Reader& reader, const Node& node, const Spot& spot, FailoverConfig& failover) {
  constexpr std::string_view after = "after ";
  if (node.is(Node::Kind::text) && node.text.substr(0, after.size()) == after) {
    const auto value = reader.duration_after(node, spot, after, 1);
    if (!value) return;
    failover.failback = FailbackMode::after;
    failover.failback_after = *value;
  } else if (node.is(Node::Kind::text) && node.text == "after") {
    reader.error(node.span, "'failback' needs a duration", "write \"after 5m\"");
  } else if (const auto index = reader.choice(node, spot, {"auto", "after 5m", "manual"})) {
    failover.failback = *index == 0 ? FailbackMode::automatic : FailbackMode::manual;
  }
}

std::string failback_text(const FailoverConfig& failover) {
  switch (failover.failback) {
    case FailbackMode::automatic: return toml_string("auto");
    case FailbackMode::after: return toml_string("after " + format_duration(failover.failback_after));
    case FailbackMode::manual: return toml_string("manual");
  }
  return "";
}

}  // namespace

const Section& passive_section() {
  static const Section section = [] {
    Section made{.id = "pool.passive",
                 .header = "[pool.NAME.passive]",
                 .help = "Ejection of endpoints by what real traffic meets."};
    Declare<PassiveConfig> declare(made);
    declare.boolean("enabled", &PassiveConfig::enabled,
                    {.help = "Whether traffic may eject endpoints.", .example = "false"});
    declare.integer("consecutive", &PassiveConfig::consecutive,
                    {.help = "Failures in a row that eject.", .min = 1, .max = 10'000, .example = "3"});
    declare.duration("base_ejection", &PassiveConfig::base_ejection,
                     {.help = "Length of the first ejection; repeated ones last longer.",
                      .min = 100,
                      .max = day,
                      .example = "\"5s\""});
    declare.duration("max_ejection", &PassiveConfig::max_ejection,
                     {.help = "Longest ejection.", .min = 100, .max = day, .example = "\"2m\""});
    declare.quantity("max_ejected", Type::share, &PassiveConfig::max_ejected,
                     {.help = "Largest share of a tier that may be ejected; one endpoint always stays.",
                      .max = 1,
                      .example = "\"30%\""});
    for (Key& key : made.keys) {
      if (key.name != "enabled")
        show_only_if(key, made, [](const void* object) { return static_cast<const PassiveConfig*>(object)->enabled; });
    }
    return made;
  }();
  return section;
}

const Section& degraded_section() {
  static const Section section = [] {
    Section made{.id = "pool.degraded",
                 .header = "[pool.NAME.degraded]",
                 .help =
                     "What makes a tier degraded while it is not down. A degraded tier hands over to one that "
                     "measures better, never to a worse one; with nothing better it stays, and an alert says so."};
    Declare<DegradedConfig> declare(made);
    declare.duration("latency_p95", &DegradedConfig::latency_p95,
                     {.help = "Time from the request to the first byte that one answer in twenty may exceed.",
                      .min = 1,
                      .max = hour,
                      .word = "none",
                      .example = "\"800ms\""});
    declare.quantity("error_rate", Type::share, &DegradedConfig::error_rate,
                     {.help = "Share of requests that fail at the endpoint: refused, reset, timed out, malformed or "
                              "answered with 5xx. What clients do never counts.",
                      .min = 0.0001,
                      .max = 0.99,
                      .word = "none",
                      .example = "\"5%\""});
    declare.duration(
        "websocket_open_p95", &DegradedConfig::websocket_open_p95,
        {.help = "What the opening of a WebSocket may take. Slower endpoints are avoided by new tunnels; where all "
                 "of the serving tier are slower, new tunnels go to the next tier below that opens them in "
                 "time, while requests and open tunnels stay. Those that were opened there stay too when new "
                 "tunnels go back, until traffic moves; an `exclusive` pool has requests at one tier and tunnels "
                 "at another meanwhile. Without it the measure is what is normal for the "
                 "endpoint, and new tunnels leave the tier in `shared` pools only.",
         .min = 1,
         .max = hour,
         .word = "none",
         .example = "\"2s\""});
    declare.integer("latency_factor", &DegradedConfig::latency_factor,
                    {.help = "How many times slower than its own usual latency a tier may be. A difference below "
                             "100 ms never counts.",
                     .min = 2,
                     .max = 1000,
                     .word = "none",
                     .example = "10"});
    declare.duration("for", &DegradedConfig::dwell,
                     {.help = "How long a threshold must be exceeded. The worse it is, the sooner it counts.",
                      .min = 200,
                      .max = hour,
                      .example = "\"5s\""});
    declare.integer("min_requests", &DegradedConfig::min_requests,
                    {.help = "Requests without which traffic says nothing; then probes decide.",
                     .min = 1,
                     .max = 100'000,
                     .example = "50"});
    declare.boolean(
        "shed", &DegradedConfig::shed,
        {.help = "Whether a tier that is too slow, with nothing better to be had, works on a limited number "
                 "of requests at once: as many as it answered best at its usual speed. What is beyond is "
                 "answered 503 at once, with a spread Retry-After. Where that does not help it ends by itself.",
         .example = "false"});
    return made;
  }();
  return section;
}

const Section& failover_section() {
  static const Section section = [] {
    Section made{.id = "pool.failover",
                 .header = "[pool.NAME.failover]",
                 .help = "When the next tier serves, and when the first one serves again."};
    Declare<FailoverConfig> declare(made);
    declare.mixed(
        "min_available",
        R"({"anyOf":[{"type":"integer","minimum":1},{"type":"string","pattern":"^([0-9]+|[0-9.]+%|\\$\\{.+\\})$"}]})",
        {.help = "Available endpoints below which a tier can't serve: a count, or a share of the tier.",
         .example = "\"50%\"",
         .shape = "\"1\" or \"50%\""},
        read_min_available, min_available_text);
    declare.mixed("failback", R"({"type":"string","pattern":"^(auto|after [0-9a-z]+|manual|\\$\\{.+\\})$"})",
                  {.help = "How traffic returns to a recovered tier: at once, after it was good for D, or on command.",
                   .example = "\"after 5m\"",
                   .shape = "\"auto\", \"after D\" or \"manual\""},
                  read_failback, failback_text);
    declare.duration("max_hold", &FailoverConfig::max_hold,
                     {.help = "Each relapse doubles the time until traffic returns, up to this; good time shortens it "
                              "again. At least the D of `after D`, also by default.",
                      .min = 100,
                      .max = 7 * day,
                      .example = "\"1h\""});
    declare.duration("verify", &FailoverConfig::verify,
                     {.help = "How long a move is judged after it happened, against the time before the fault.",
                      .min = 100,
                      .max = hour,
                      .example = "\"1m\""});
    declare.duration(
        "ramp", &FailoverConfig::ramp,
        {.help = "Time over which traffic moves in steps, there and back; with `0s` at once. In `exclusive` "
                 "pools unsafe methods move at once. Shorter where the tier that is left has fewer "
                 "endpoints that are well, and at once where it has none.",
         .max = hour,
         .example = "\"30s\""});
    declare.quantity("overprovisioning", Type::share, &FailoverConfig::overprovisioning,
                     {.help = "How much of its share of the traffic an endpoint can carry. In pools with `tiers = "
                              "\"shared\"` a tier that has lost endpoints keeps what the others can carry, and the "
                              "next tiers take the rest.",
                      .min = 1,
                      .max = 100,
                      .word = "none",
                      .example = "\"200%\""});
    declare_gates(made);
    declare.boolean("quarantine", &FailoverConfig::quarantine,
                    {.help = "Whether an endpoint that its checks found down (refused, unreachable or not answering) "
                             "stays out when it is back, until the gates have passed or the operator enables it.",
                     .example = "true"});
    declare.quantity("mirror", Type::share, &FailoverConfig::mirror,
                     {.help = "Share of the safe requests without a body of which a standby gets a copy, marked "
                              "`Understudy-Mirror: 1`, at most 20 a second for each worker and one a second from each "
                              "client address. Conditional and partial reads are not copied, nor what the client got "
                              "no 2xx for. The answer is thrown away; its status and time, compared with the "
                              "client's, tell whether the standby is fit.",
                      .min = 0,
                      .max = 1,
                      .example = "\"1%\""});
    declare.boolean(
        "require_fit", &FailoverConfig::require_fit,
        {.help = "Move only to tiers that are proven fit by `[[pool.NAME.fitness]]`. When nothing is left of "
                 "the serving tier, the best of the others serves all the same.",
         .example = "true"});
    return made;
  }();
  return section;
}

}  // namespace understudy::config
