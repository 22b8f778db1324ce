// The keys of a scenario.
#include <algorithm>

#include "config/declare.hpp"
#include "config/scenario_keys.hpp"
#include "config/suggest.hpp"

namespace understudy::config {
namespace {

constexpr double second = 1000;
constexpr double minute = 60 * second;
constexpr double hour = 60 * minute;
constexpr double day = 24 * hour;
constexpr double most_counted = 1e9;
constexpr std::size_t most_items = 100;  // faults, acts, times

// [[fault]], [[operator]] or a list of tables in one line: `path(i)` names the i-th.
template <class Item, class Path>
void read_items(Reader& reader, const Node& node, const Spot& spot, const Section& section, const std::string& where,
                const Path& path, std::vector<Item>& items) {
  if (node.items.size() > most_items) {
    return reader.error(node.span,
                        "'" + std::string(spot.name) + "' has more than " + std::to_string(most_items) + " items");
  }
  items.clear();
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    if (!item.is(Node::Kind::table)) {
      reader.wrong_item(item, spot, "tables");
      continue;
    }
    reader.note_item(path(items.size()), item);
    Item made;
    reader.read_table(section, item, &made, path(items.size()), where);
    items.push_back(std::move(made));
  }
}

template <class Item>
void declare_tables(Declare<Scenario>& declare, const char* name, std::vector<Item> Scenario::*field,
                    const Section& section, std::string_view help) {
  const std::string header = "[[" + std::string(name) + "]]";
  Key& key = declare.key(
      name, Type::table_list, {.help = help},
      [field, header, &section](Reader& reader, const Node& node, const Spot& spot, Scenario& scenario) {
        const std::string one = "[" + std::string(spot.name) + "]";
        if (node.is(Node::Kind::table)) return reader.error(node.span, one + " is a list of tables", "write " + header);
        if (!node.is(Node::Kind::array)) return reader.wrong_type(node, spot, "a list of tables", "write " + header);
        const auto path = [&](std::size_t i) { return spot.path + "[" + std::to_string(i + 1) + "]"; };
        read_items(reader, node, spot, section, header, path, scenario.*field);
      },
      [](const Scenario&) { return std::string(); });
  key.section = &section;
}

void read_kinds(Reader& reader, const Node& node, const Spot& spot, const std::vector<std::string_view>& kinds,
                const char* what, std::vector<std::string>& events) {
  const auto list = reader.text_list(node, spot, {});
  if (!list) return;
  events.clear();
  for (const ListedText& item : *list) {
    if (std::find(kinds.begin(), kinds.end(), item.text) == kinds.end()) {
      const auto near = nearest(item.text, kinds);
      reader.error(item.span, "'" + printable(item.text) + "' is no " + what,
                   near ? "did you mean '" + *near + "'?" : "'understudy schema --scenario --reference' lists them");
    } else if (std::find(events.begin(), events.end(), item.text) != events.end()) {
      reader.error(item.span, "'" + item.text + "' is given twice");
    } else {
      events.push_back(item.text);
    }
  }
}

void declare_kinds(Declare<ScenarioExpect>& declare, const char* name, std::vector<std::string> ScenarioExpect::*field,
                   const std::vector<std::string_view>& kinds, const char* what, const Spec& spec) {
  std::string schema;
  for (const std::string_view kind : kinds) schema += (schema.empty() ? "" : ",") + json_string(kind);
  schema = R"({"type":"array","items":{"enum":[)" + schema + "]}}";
  declare.mixed(
      name, schema.c_str(), spec,
      [field, &kinds, what](Reader& reader, const Node& node, const Spot& spot, ScenarioExpect& expect) {
        read_kinds(reader, node, spot, kinds, what, expect.*field);
      },
      [field](const ScenarioExpect& expect) {
        std::vector<std::string> items;
        for (const std::string& item : expect.*field) items.push_back(toml_string(item));
        return list_text(items);
      });
}

void declare_serving(Declare<ScenarioExpect>& declare) {
  Key& serving = declare.mixed(
      "serving", R"({"type":"array","items":{"$ref":"#/definitions/expect.serving"}})",
      {.help = "Which tier is designated at given times.",
       .example = "[{ at = \"28s\", tier = \"standby\" }]",
       .shape = "array of { at, tier }"},
      [](Reader& reader, const Node& node, const Spot& spot, ScenarioExpect& expect) {
        if (!node.is(Node::Kind::array)) {
          return reader.wrong_type(node, spot, "an array of { at, tier } tables",
                                   "write [{ at = \"28s\", tier = \"standby\" }]");
        }
        const auto path = [&](std::size_t i) { return spot.path + "[" + std::to_string(i) + "]"; };
        read_items(reader, node, spot, serving_section(), spot.where + ".serving", path, expect.serving);
      },
      [](const ScenarioExpect& expect) {
        std::vector<std::string> items;
        for (const ExpectServing& one : expect.serving) items.push_back(inline_table(serving_section(), &one));
        return list_text(items);
      });
  serving.section = &serving_section();
}

}  // namespace

const std::vector<std::string>& fault_kinds() {
  static const std::vector<std::string> kinds{"kill",          "unreachable", "freeze",         "hang",    "slow",
                                              "errors",        "flap",        "starve",         "backlog", "reset",
                                              "half_response", "slow_body",   "slow_websocket", "cold",    "overload"};
  return kinds;
}

bool fault_key_applies(std::string_view key, FaultKind kind) {
  if (key == "latency") {
    return kind == FaultKind::slow || kind == FaultKind::slow_body || kind == FaultKind::slow_websocket ||
           kind == FaultKind::cold;
  }
  if (key == "ramp" || key == "jitter") return kind == FaultKind::slow;
  if (key == "share") return kind == FaultKind::errors || kind == FaultKind::reset || kind == FaultKind::half_response;
  if (key == "status") return kind == FaultKind::errors;
  if (key == "limit") return kind == FaultKind::cold || kind == FaultKind::overload;
  if (key == "period") return kind == FaultKind::flap;
  if (key == "where" || key == "health" || key == "requests" || key == "header") return kind != FaultKind::starve;
  return true;
}

const std::vector<std::string_view>& event_kinds() {
  static const std::vector<std::string_view> kinds{"endpoint_healthy",
                                                   "endpoint_unhealthy",
                                                   "endpoint_ejected",
                                                   "endpoint_unejected",
                                                   "endpoint_operator",
                                                   "endpoint_added",
                                                   "endpoint_removed",
                                                   "tier_lost",
                                                   "tier_restored",
                                                   "panic_entered",
                                                   "panic_left",
                                                   "failover",
                                                   "failback",
                                                   "failback_pending",
                                                   "held",
                                                   "maintenance",
                                                   "all_down",
                                                   "proposal_refused",
                                                   "starved",
                                                   "endpoint_suspect",
                                                   "endpoint_trusted",
                                                   "tier_degraded",
                                                   "tier_recovered",
                                                   "nothing_better",
                                                   "verdict",
                                                   "gate",
                                                   "probe_doubted",
                                                   "endpoint_quarantined",
                                                   "spill",
                                                   "shedding",
                                                   "surge",
                                                   "endpoint_unfit",
                                                   "endpoint_fit",
                                                   "tier_unfit",
                                                   "tier_fit",
                                                   "agent",
                                                   "endpoint_slow_to_open",
                                                   "endpoint_opens_again",
                                                   "openings_moved",
                                                   "openings_returned",
                                                   "drill",
                                                   "tunnels_parked"};
  return kinds;
}

const std::vector<std::string_view>& alert_types() {
  static const std::vector<std::string_view> types{"incident.opened",  "incident.worse",     "incident.moved",
                                                   "incident.verdict", "incident.recovered", "incident.relapsed",
                                                   "incident.closed"};
  return types;
}

const Section& scenario_section() {
  static const Section section = [] {
    Section made{.id = "scenario", .help = "What the scenario is called, and how long it lasts."};
    Declare<Scenario> declare(made);
    declare.text("name", &Scenario::name,
                 {.help = "What it is called in reports.", .example = "\"Response times creep up\"", .required = true});
    declare.text("proves", &Scenario::proves,
                 {.help = "What holds when it passes, in one sentence.",
                  .example = "\"A slow ramp is seen before users see it.\""});
    declare.path("config", &Scenario::config,
                 {.help = "Configuration that it runs against where no other is named.",
                  .example = "\"configs/failover.toml\""});
    declare.text("pool", &Scenario::pool,
                 {.help = "Pool that it is about.", .example = "\"app\"", .unset = "the only one"});
    declare.duration("length", &Scenario::length,
                     {.help = "How long it lasts.", .min = second, .max = day, .example = "\"5m\""});
    declare.duration("short", &Scenario::short_length,
                     {.help = "Where its shortened form ends, for `understudy drill --short`.",
                      .min = second,
                      .max = day,
                      .example = "\"12s\"",
                      .unset = "none"});
    declare.table("load", &Scenario::load, scenario_load_section(), {.help = "What clients ask for."});
    declare_tables(declare, "fault", &Scenario::faults, fault_section(), "What goes wrong, and when.");
    declare_tables(declare, "operator", &Scenario::acts, operator_section(), "What an operator does meanwhile.");
    declare.table("expect", &Scenario::expect, expect_section(), {.help = "What must hold in the end."});
    declare.table("guards", &Scenario::guards, guards_section(),
                  {.help = "What ends a live drill, and keeps it from beginning."});
    return made;
  }();
  return section;
}

const Section& scenario_load_section() {
  static const Section section = [] {
    Section made{.id = "load",
                 .header = "[load]",
                 .help =
                     "What clients ask for, and what endpoints need for it when all is well. Requests come in time "
                     "whether or not earlier ones were answered."};
    Declare<ScenarioLoad> declare(made);
    declare.quantity(
        "rate", Type::rate, &ScenarioLoad::rate,
        {.help = "Requests. `\"0/s\"` leaves the endpoints to their probes.", .max = 100'000, .example = "\"300/s\""});
    declare.quantity("post", Type::share, &ScenarioLoad::post,
                     {.help = "Share of them that may not be repeated.", .max = 1, .example = "\"30%\""});
    declare.quantity("body", Type::size, &ScenarioLoad::body,
                     {.help = "What each of those carries.", .min = 1, .max = 16 * 1024 * 1024, .example = "\"4KiB\""});
    declare.integer("websockets", &ScenarioLoad::websockets,
                    {.help = "Tunnels that are kept open. A rehearsal, which decides only, has none.",
                     .max = 100'000,
                     .example = "100"});
    declare.duration("message_interval", &ScenarioLoad::message_interval,
                     {.help = "How often each of them asks for an echo.", .min = 10, .max = hour, .example = "\"5s\""});
    declare.duration("reconnect", &ScenarioLoad::reconnect,
                     {.help = "One that was dropped comes back so long after, at random up to twice as long.",
                      .min = 1,
                      .max = hour,
                      .example = "\"3s\""});
    declare.duration("session", &ScenarioLoad::session,
                     {.help = "Each leaves by itself after that time, and comes back the same way.",
                      .min = 100,
                      .max = day,
                      .example = "\"20s\"",
                      .unset = "it stays"});
    declare.duration("patience", &ScenarioLoad::patience,
                     {.help = "How long a client waits for its answer in a drill before it gives up.",
                      .min = 100,
                      .max = 10 * minute,
                      .example = "\"30s\""});
    declare.duration("latency", &ScenarioLoad::latency,
                     {.help = "Time from a request to its answer.", .min = 1, .max = minute, .example = "\"20ms\""});
    declare.duration("probe_latency", &ScenarioLoad::probe_latency,
                     {.help = "The same for the health page.", .min = 1, .max = minute, .example = "\"10ms\""});
    return made;
  }();
  return section;
}

const Section& fault_section() {
  static const Section section = [] {
    Section made{
        .id = "fault",
        .header = "[[fault]]",
        .help =
            "Something that goes wrong. Where several are at one endpoint at a time, all of them count; of two that "
            "say "
            "the same, the later one in the file. The kinds: `kill`, nothing listens. `unreachable`, a connection is "
            "not answered. `freeze`, connections are accepted and nothing is answered. `hang`, requests are not "
            "answered, the health page is. `slow`, answers take `latency`. `errors`, a share of the answers has a "
            "`status` of failure. `flap`, killed and well in turns of `period`. `starve`, the proxy itself stands "
            "still. `backlog`, as `freeze`, and its queue of connections is full. `reset`, a share of the requests is "
            "answered with a reset. `half_response`, of a share of the answers half the body comes. `slow_body`, the "
            "head comes in time, the body takes `latency`. `slow_websocket`, openings take `latency`, all else is "
            "well. `cold`, above `limit` new connections a second everything takes `latency`. `overload`, `limit` "
            "requests are worked on at a time, others wait."};
    Declare<ScenarioFault> declare(made);
    declare.duration("at", &ScenarioFault::at,
                     {.help = "When it begins.", .max = day, .example = "\"20s\"", .required = true});
    declare.duration("until", &ScenarioFault::until,
                     {.help = "When it ends.", .max = day, .example = "\"30s\"", .unset = "the end"});
    declare.text("where", &ScenarioFault::where,
                 {.help = "A tier, an endpoint's name (else its address), or `all`.",
                  .example = "\"primary\"",
                  .unset = "required, but for `starve`"});
    declare.choice("kind", &ScenarioFault::kind, fault_kinds(),
                   {.help = "What goes wrong.", .example = "\"slow\"", .required = true});
    declare.duration("latency", &ScenarioFault::latency,
                     {.help = "What an answer takes; with `slow_body` its body, with `slow_websocket` an opening.",
                      .min = 1,
                      .max = hour,
                      .example = "\"3s\"",
                      .unset = "required with `slow`, `slow_body`, `slow_websocket`, `cold`"});
    declare.duration("ramp", &ScenarioFault::ramp,
                     {.help = "With `slow`: time over which latency grows to that.", .max = day, .example = "\"10s\""});
    declare.duration(
        "jitter", &ScenarioFault::jitter,
        {.help = "With `slow`: up to so much more, drawn for each answer.", .max = hour, .example = "\"200ms\""});
    declare.quantity("share", Type::share, &ScenarioFault::share,
                     {.help = "With `errors`, `reset`, `half_response`: share of the answers that are so.",
                      .max = 1,
                      .example = "\"30%\""});
    declare.integer("limit", &ScenarioFault::limit,
                    {.help = "With `cold`: connections a second that an endpoint stands. With `overload`: requests "
                             "that it works on at a time.",
                     .min = 1,
                     .max = 100'000,
                     .example = "20",
                     .unset = "required with `cold`, `overload`"});
    declare.integer("status", &ScenarioFault::status,
                    {.help = "With `errors`: what they say.", .min = 500, .max = 599, .example = "502"});
    declare.duration("period", &ScenarioFault::period,
                     {.help = "How long it is down, and up, each time.",
                      .min = 100,
                      .max = hour,
                      .example = "\"5s\"",
                      .unset = "required with `flap`"});
    declare.choice(
        "health", &ScenarioFault::health, {"as_fault", "good", "bad"},
        {.help =
             "What the health page says meanwhile. With `as_fault` it stays good under `hang`, `slow` and `errors`.",
         .example = "\"good\""});
    declare.quantity("requests", Type::share, &ScenarioFault::requests,
                     {.help = "Live only: share of the requests that meet it.", .max = 1, .example = "\"10%\""});
    declare.text("header", &ScenarioFault::header,
                 {.help = "Live only: just requests with that header field meet it; `Name`, or `Name: value`.",
                  .example = "\"X-Drill: yes\"",
                  .unset = "all"});
    return made;
  }();
  return section;
}

const Section& operator_section() {
  static const Section section = [] {
    Section made{.id = "operator", .header = "[[operator]]", .help = "Something that an operator does."};
    Declare<ScenarioAct> declare(made);
    declare.duration("at", &ScenarioAct::at, {.help = "When.", .max = day, .example = "\"40s\"", .required = true});
    declare.choice("act", &ScenarioAct::act,
                   {"failover", "failback", "hold", "release", "approve", "reload", "upgrade"},
                   {.help = "What, as the command line calls it; `upgrade` is a binary upgrade, by SIGUSR2; "
                            "in a rehearsal it is what a reload is.",
                    .example = "\"approve\"",
                    .required = true});
    declare.text("to", &ScenarioAct::to,
                 {.help = "The tier of a `failover`; the gate of an `approve`, which needs one.",
                  .example = "\"data compared\""});
    return made;
  }();
  return section;
}

const Section& serving_section() {
  static const Section section = [] {
    Section made{.id = "expect.serving", .header = "[expect].serving", .help = "A tier at a time."};
    Declare<ExpectServing> declare(made);
    declare.duration("at", &ExpectServing::at, {.help = "When.", .max = day, .example = "\"28s\"", .required = true});
    declare.text("tier", &ExpectServing::tier,
                 {.help = "The tier that is designated then.", .example = "\"standby\"", .required = true});
    return made;
  }();
  return section;
}

const Section& expect_section() {
  static const Section section = [] {
    Section made{.id = "expect",
                 .header = "[expect]",
                 .help =
                     "What must hold in the end; at least one key. Times count from the beginning of the first fault, "
                     "`returned` from the end of the last one."};
    Declare<ScenarioExpect> declare(made);
    declare.integer(
        "failed", &ScenarioExpect::failed,
        {.help = "Most requests that failed.", .max = most_counted, .example = "0", .unset = "not looked at"});
    declare.integer("failed_repeatable", &ScenarioExpect::failed_repeatable,
                    {.help = "Most of them that could have been repeated.",
                     .max = most_counted,
                     .example = "0",
                     .unset = "not looked at"});
    declare.integer("bad", &ScenarioExpect::bad,
                    {.help = "Most requests that failed or took longer than `slow_after`.",
                     .max = most_counted,
                     .example = "50",
                     .unset = "not looked at"});
    declare.duration("slow_after", &ScenarioExpect::slow_after,
                     {.help = "What counts as slow.", .min = 1, .max = hour, .example = "\"500ms\""});
    declare.integer("least_answered", &ScenarioExpect::least_answered,
                    {.help = "Fewest requests that were answered well within `slow_after`.",
                     .max = most_counted,
                     .example = "5000",
                     .unset = "not looked at"});
    declare.integer("doubled", &ScenarioExpect::doubled,
                    {.help = "Most requests that endpoints carried out more than once though they may not be repeated.",
                     .max = most_counted,
                     .example = "0",
                     .unset = "not looked at"});
    declare.integer("sockets_dropped", &ScenarioExpect::sockets_dropped,
                    {.help = "How often at most a WebSocket ended that its client still wanted.",
                     .max = most_counted,
                     .example = "100",
                     .unset = "not looked at"});
    declare.integer("sockets_cut", &ScenarioExpect::sockets_cut,
                    {.help = "How often at most one ended so without the Close that its route has for those who leave "
                             "(`close_code`).",
                     .max = most_counted,
                     .example = "0",
                     .unset = "not looked at"});
    declare.integer("drops_per_second", &ScenarioExpect::drops_per_second,
                    {.help = "Most WebSockets that ended so within any one second.",
                     .max = most_counted,
                     .example = "20",
                     .unset = "not looked at"});
    declare.integer("slow_openings", &ScenarioExpect::slow_openings,
                    {.help = "Most WebSockets that took longer than `slow_after` to open, or were not opened.",
                     .max = most_counted,
                     .example = "20",
                     .unset = "not looked at"});
    declare.integer("least_open", &ScenarioExpect::least_open,
                    {.help = "Fewest WebSockets that are open at the end.",
                     .max = most_counted,
                     .example = "100",
                     .unset = "not looked at"});
    declare.integer("moves", &ScenarioExpect::moves,
                    {.help = "Most moves between tiers, there and back.",
                     .max = most_counted,
                     .example = "2",
                     .unset = "not looked at"});
    declare.integer("least_moves", &ScenarioExpect::least_moves,
                    {.help = "Fewest of them.", .max = most_counted, .example = "2", .unset = "not looked at"});
    declare.duration("detected", &ScenarioExpect::detected,
                     {.help = "Longest time until something speaks against an endpoint or a tier.",
                      .max = day,
                      .example = "\"2s\"",
                      .unset = "not looked at"});
    declare.duration(
        "shifted", &ScenarioExpect::shifted,
        {.help = "Longest time until traffic moves away.", .max = day, .example = "\"5s\"", .unset = "not looked at"});
    declare.duration("returned", &ScenarioExpect::returned,
                     {.help = "Longest time from the end of the last fault until traffic returns.",
                      .max = day,
                      .example = "\"30s\"",
                      .unset = "not looked at"});
    declare_serving(declare);
    declare_kinds(declare, "events", &ScenarioExpect::events, event_kinds(), "kind of event",
                  {.help = "Kinds of event that must occur.",
                   .example = "[\"tier_degraded\"]",
                   .shape = "array of kinds of event"});
    declare_kinds(declare, "alerts", &ScenarioExpect::alerts, alert_types(), "type of alert",
                  {.help = "Types of message that alerts must be given; in the sandbox they are delivered to nobody.",
                   .example = "[\"incident.opened\"]",
                   .shape = "array of types of message"});
    declare_kinds(
        declare, "no_events", &ScenarioExpect::no_events, event_kinds(), "kind of event",
        {.help = "Kinds that must not occur.", .example = "[\"all_down\"]", .shape = "array of kinds of event"});
    return made;
  }();
  return section;
}

const std::vector<const Section*>& scenario_sections() {
  static const std::vector<const Section*> sections{&scenario_section(), &scenario_load_section(), &fault_section(),
                                                    &operator_section(), &expect_section(),        &serving_section(),
                                                    &guards_section()};
  return sections;
}

}  // namespace understudy::config
