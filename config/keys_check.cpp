// The keys of [check] and [pool.NAME.check].
#include <charconv>

#include "config/declare.hpp"

namespace understudy::config {
namespace {

constexpr double minute = 60'000;
constexpr double hour = 60 * minute;
constexpr double day = 24 * hour;

// A key that chooses the kind of check by being true.
void declare_kind(Declare<CheckConfig>& declare, const char* name, CheckKind kind, std::string_view help) {
  declare.mixed(
      name, R"({"enum":[true]})", {.help = help, .example = "true", .unset = "no", .shape = "true"},
      [kind](Reader& reader, const Node& node, const Spot& spot, CheckConfig& check) {
        const auto value = reader.boolean(node, spot);
        if (!value) return;
        if (!*value)
          return reader.error(node.span, "'" + std::string(spot.name) + "' can only be true", "leave the key out");
        check.kind = kind;
        check.path.clear();
      },
      [kind](const CheckConfig& check) { return check.kind == kind ? "true" : ""; });
}

void declare_check_path(Declare<CheckConfig>& declare, const char* name, CheckKind kind, std::string_view help,
                        std::string_view example) {
  declare.key(
      name, Type::text, {.help = help, .example = example},
      [kind](Reader& reader, const Node& node, const Spot& spot, CheckConfig& check) {
        const auto path = reader.text(node, spot, {});
        if (!path) return;
        if (path->front() != '/' || path->find_first_of(" #") != std::string::npos) {
          return reader.error(
              node.span, "'" + std::string(spot.name) + "' must be a path that starts with '/', without spaces or '#'");
        }
        check.kind = kind;
        check.path = *path;
      },
      [kind](const CheckConfig& check) { return check.kind == kind ? toml_string(check.path) : ""; });
}

bool parse_status(std::string_view text, std::uint16_t& status) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), status);
  return text.size() == 3 && result.ec == std::errc() && result.ptr == text.data() + text.size() && status >= 100 &&
         status <= 599;
}

// "200-299" or "200,204,300-399".
bool parse_ranges(std::string_view text, std::vector<StatusRange>& ranges) {
  while (true) {
    const std::size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    const std::size_t dash = part.find('-');
    StatusRange range;
    if (!parse_status(part.substr(0, dash), range.low)) return false;
    range.high = range.low;
    if (dash != std::string_view::npos && !parse_status(part.substr(dash + 1), range.high)) return false;
    if (range.low > range.high) return false;
    ranges.push_back(range);
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

void read_at_start(Reader& reader, const Node& node, const Spot& spot, CheckConfig& check) {
  constexpr std::string_view wait = "wait ";
  if (node.is(Node::Kind::text) && node.text.substr(0, wait.size()) == wait) {
    const auto value = reader.duration_after(node, spot, wait, 0);
    if (!value) return;
    check.start = StartPolicy::wait;
    check.start_wait = *value;
  } else if (const auto index = reader.choice(node, spot, {"wait", "wait 3s", "assume_healthy", "assume_unhealthy"})) {
    check.start = *index <= 1   ? StartPolicy::wait
                  : *index == 2 ? StartPolicy::assume_healthy
                                : StartPolicy::assume_unhealthy;
  }
}

std::string at_start_text(const CheckConfig& check) {
  switch (check.start) {
    case StartPolicy::wait: return toml_string("wait " + format_duration(check.start_wait));
    case StartPolicy::assume_healthy: return toml_string("assume_healthy");
    case StartPolicy::assume_unhealthy: return toml_string("assume_unhealthy");
  }
  return "";
}

// Which keys a kind of check has a use for. The others are refused beside it, and never shown.
bool applies(const std::string& key, CheckKind kind) {
  if (key == "path" || key == "expect" || key == "body" || key == "agent_header") return kind == CheckKind::http;
  if (key == "host") return kind == CheckKind::http || kind == CheckKind::websocket;
  if (key == "tcp" || key == "tls" || key == "websocket" || key == "off") return true;
  return kind != CheckKind::none;
}

}  // namespace

const char* const statuses_schema = R"({"anyOf":[{"type":"integer","minimum":100,"maximum":599},{"type":"string"}]})";

void read_statuses(Reader& reader, const Node& node, const Spot& spot, std::vector<StatusRange>& ranges) {
  std::string text;
  if (node.is(Node::Kind::integer)) {
    text = std::to_string(node.integer);
  } else if (const auto given = reader.text(node, spot, {})) {
    text = *given;
  } else {
    return;
  }
  std::vector<StatusRange> read;
  if (!parse_ranges(text, read)) {
    return reader.error(node.span, "'" + std::string(spot.name) + "' must be status codes from 100 to 599",
                        "write \"200-299\" or \"200,204,300-399\"");
  }
  ranges = std::move(read);
}

std::string statuses_text(const std::vector<StatusRange>& ranges) {
  std::string text;
  for (const StatusRange& range : ranges) {
    text += (text.empty() ? "" : ",") + std::to_string(range.low);
    if (range.high != range.low) text += "-" + std::to_string(range.high);
  }
  return toml_string(text);
}

bool check_key_applies(const std::string& key, CheckKind kind) { return applies(key, kind); }

const Section& check_section() {
  static const Section section = [] {
    Section made{.id = "pool.check",
                 .header = "[pool.NAME.check]",
                 .also = "[check]",
                 .help =
                     "How endpoints are probed. `[check]` sets the defaults of every pool. At most one of "
                     "`path`, `tcp`, `tls`, `websocket` and `off` chooses the kind; none means `tcp`."};
    Declare<CheckConfig> declare(made);
    declare_check_path(declare, "path", CheckKind::http, "HTTP check: GET of this path.", "\"/healthz\"");
    declare_kind(declare, "tcp", CheckKind::tcp, "Check that a TCP connection opens, no more.");
    declare_kind(declare, "tls", CheckKind::tls, "Check that a TLS handshake succeeds.");
    declare_check_path(declare, "websocket", CheckKind::websocket, "Check that a WebSocket opens on this path.",
                       "\"/ws\"");
    declare_kind(declare, "off", CheckKind::none, "No probes; endpoints count as healthy until traffic fails.");
    declare.text("host", &CheckConfig::host,
                 {.help = "Host field of HTTP and WebSocket checks.",
                  .example = "\"app.example.org\"",
                  .unset = "the endpoint's address"});
    declare.mixed(
        "expect", statuses_schema,
        {.help = "Status codes of an HTTP check that count as good.",
         .example = "\"200,204,300-399\"",
         .shape = "status codes and ranges"},
        [](Reader& reader, const Node& node, const Spot& spot, CheckConfig& check) {
          read_statuses(reader, node, spot, check.expect);
        },
        [](const CheckConfig& check) { return statuses_text(check.expect); });
    declare.text("body", &CheckConfig::body,
                 {.help = "Text that the body of an HTTP check must contain.", .example = "\"ready\"", .unset = "any"});
    declare.key(
        "port", Type::integer,
        {.help = "Port to probe, when it is another than that of traffic.",
         .min = 1,
         .max = 65535,
         .example = "9000",
         .unset = "the endpoint's"},
        [](Reader& reader, const Node& node, const Spot& spot, CheckConfig& check) {
          if (const auto port = reader.integer(node, spot, {.help = "", .min = 1, .max = 65535}))
            check.port = static_cast<std::uint16_t>(*port);
        },
        [](const CheckConfig& check) { return check.port == 0 ? std::string() : std::to_string(check.port); });
    declare.duration("interval", &CheckConfig::interval,
                     {.help = "Time between two probes of an endpoint.", .min = 50, .max = day, .example = "\"1s\""});
    declare.duration("fast_interval", &CheckConfig::fast_interval,
                     {.help = "The same while a verdict is changing. At most `interval`, also by default.",
                      .min = 50,
                      .max = day,
                      .example = "\"250ms\""});
    declare.duration(
        "timeout", &CheckConfig::timeout,
        {.help = "Longest probe. At most `interval` by default.", .min = 10, .max = hour, .example = "\"500ms\""});
    declare.integer("rise", &CheckConfig::rise,
                    {.help = "Passes in a row that make an endpoint healthy.", .min = 1, .max = 100, .example = "3"});
    declare.integer("fall", &CheckConfig::fall,
                    {.help = "Failures in a row that make it unhealthy.", .min = 1, .max = 100, .example = "2"});
    declare.mixed("at_start",
                  R"({"type":"string","pattern":"^(wait( [0-9a-z]+)?|assume_healthy|assume_unhealthy|\\$\\{.+\\})$"})",
                  {.help = "What an endpoint counts as before its first verdict. `wait D` keeps it unused until a "
                           "probe passes, at most for D.",
                   .example = "\"assume_healthy\"",
                   .shape = "\"wait D\", \"assume_healthy\" or \"assume_unhealthy\""},
                  read_at_start, at_start_text);
    declare.key(
        "agent_port", Type::integer,
        {.help =
             "Port of an agent on the endpoint's machine that is asked with each probe and answers one line: `75%` of "
             "its weight, `ready`, `drain`, `maint`, `up`, `down`, as HAProxy's agent-check speaks it.",
         .min = 1,
         .max = 65535,
         .example = "9707",
         .unset = "none"},
        [](Reader& reader, const Node& node, const Spot& spot, CheckConfig& check) {
          if (const auto port = reader.integer(node, spot, {.help = "", .min = 1, .max = 65535}))
            check.agent_port = static_cast<std::uint16_t>(*port);
        },
        [](const CheckConfig& check) {
          return check.agent_port == 0 ? std::string() : std::to_string(check.agent_port);
        });
    declare.text("agent_send", &CheckConfig::agent_send,
                 {.help = "What is sent to the agent, and a line's end, before it answers.",
                  .example = "\"load?\"",
                  .unset = "nothing"});
    declare.key(
        "agent_header", Type::text,
        {.help = "Field of the answer to an HTTP check that says what an agent would.",
         .example = "\"X-Load\"",
         .unset = "none"},
        [](Reader& reader, const Node& node, const Spot& spot, CheckConfig& check) {
          const auto name = reader.text(node, spot, {});
          if (!name) return;
          if (is_token(*name)) {
            check.agent_header = *name;
          } else {
            reader.error(node.span, "'" + printable(*name) + "' is not the name of a header field");
          }
        },
        [](const CheckConfig& check) { return check.agent_header.empty() ? "" : toml_string(check.agent_header); });
    declare.choice(
        "trust", &CheckConfig::trust, {"probe", "traffic", "both"},
        {.help = "What counts when probes fail while requests are answered well: the probes, the requests, or "
                 "with `both` the requests for the time of `doubt`. An event says so where it is not the "
                 "probes. Requests that fail count whatever the probes say.",
         .example = "\"both\""});
    // A value that is refused counts as `both`, so that nobody is told that the `doubt` beside it is idle.
    made.keys.back().read = [read = made.keys.back().read](Reader& reader, const Node& node, const Spot& spot,
                                                           void* object) {
      static_cast<CheckConfig*>(object)->trust = Trust::both;
      read(reader, node, spot, object);
    };
    declare.duration("doubt", &CheckConfig::doubt,
                     {.help = "How long failing probes are not obeyed with `trust = \"both\"`.",
                      .min = 100,
                      .max = day,
                      .example = "\"1m\""});
    for (Key& key : made.keys) {
      show_only_if(key, made, [name = key.name](const void* object) {
        return applies(name, static_cast<const CheckConfig*>(object)->kind);
      });
    }
    show_only_if(made.keys.back(), made,
                 [](const void* object) { return static_cast<const CheckConfig*>(object)->trust == Trust::both; });
    return made;
  }();
  return section;
}

}  // namespace understudy::config
