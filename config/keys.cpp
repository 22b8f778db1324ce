#include "config/keys.hpp"

#include <algorithm>

#include "config/declare.hpp"

namespace understudy::config {
namespace {

// [listen.NAME] or [pool.NAME]: reads each member into a new object that starts as `make` says.
template <class Item, class Make>
void read_named(Reader& reader, const Node& node, const Spot& spot, const Section& section, std::string_view what,
                std::vector<Item>& items, const Make& make) {
  const std::string name(spot.name);
  if (!node.is(Node::Kind::table)) return reader.wrong_type(node, spot, "a table", "write [" + name + ".NAME]");
  for (const Member& member : node.members) {
    const std::string path = name + "." + member.name;
    const std::string shown = member.name.find('.') == std::string::npos ? member.name : toml_string(member.name);
    const std::string where = "[" + name + "." + shown + "]";
    if (!member.value.is(Node::Kind::table)) {
      const bool is_key = section.find(member.name) != nullptr;
      reader.error(
          member.span,
          is_key ? "'" + member.name + "' stands in [" + name + "], which has no name" : where + " must be a table",
          is_key ? "write [" + name + ".NAME] above it" : "write " + where);
      continue;
    }
    reader.check_name(member.name, member.span, what);
    reader.note(path, member);
    Item item = make();
    item.name = member.name;
    reader.read_table(section, member.value, &item, path, where);
    items.push_back(std::move(item));
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.name < b.name; });
}

void read_routes(Reader& reader, const Node& node, const Spot& spot, Root& root) {
  if (node.is(Node::Kind::table)) return reader.error(node.span, "[route] is a list of tables", "write [[route]]");
  if (!node.is(Node::Kind::array)) return reader.wrong_type(node, spot, "a list of tables", "write [[route]]");
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    if (!item.is(Node::Kind::table)) {
      reader.wrong_type(item, spot, "a list of tables", "write [[route]]");
      continue;
    }
    const std::string path = "route[" + std::to_string(i + 1) + "]";
    reader.note_item(path, item);
    RouteConfig route;
    reader.read_table(route_section(), item, &route, path, "[[route]]");
    root.config.routes.push_back(std::move(route));
  }
}

// A table of the top: Root::config and one of its parts.
template <class Part>
void top_table(Section& section, const char* name, Part Config::*part, const Section& inner) {
  Key& key = section.keys.emplace_back();
  key.name = name;
  key.type = Type::table;
  key.section = &inner;
  key.open = [part](void* root) { return static_cast<void*>(&(static_cast<Root*>(root)->config.*part)); };
  key.view = [part](const void* root) {
    return static_cast<const void*>(&(static_cast<const Root*>(root)->config.*part));
  };
}

}  // namespace

const Key* Section::find(std::string_view name) const {
  for (const Key& key : keys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

// Read in this order: what others inherit from comes first.
const Section& root_section() {
  static const Section section = [] {
    Section made{.id = "root"};
    Declare<Root> declare(made);
    top_table(made, "server", &Config::server, server_section());
    top_table(made, "admin", &Config::admin, admin_section());
    top_table(made, "log", &Config::log, log_section());
    top_table(made, "dns", &Config::dns, dns_section());
    top_table(made, "incidents", &Config::incidents, incidents_section());
    Key& alerts = declare.key(
        "alerts", Type::named_tables, {.help = ""},
        [](Reader& reader, const Node& node, const Spot& spot, Root& root) {
          read_named(reader, node, spot, alert_section(), "an alert", root.config.alerts, [] { return AlertConfig{}; });
        },
        [](const Root&) { return std::string(); });
    alerts.section = &alert_section();
    Key& drills = declare.key(
        "drill", Type::named_tables, {.help = ""},
        [](Reader& reader, const Node& node, const Spot& spot, Root& root) {
          read_named(reader, node, spot, drill_section(), "a drill", root.config.drills, [] { return DrillConfig{}; });
        },
        [](const Root&) { return std::string(); });
    drills.section = &drill_section();
    declare.table("limits", &Root::limits, limits_section(), {.help = ""});
    declare.table("check", &Root::check, check_section(), {.help = ""});
    Key& listen = declare.key(
        "listen", Type::named_tables, {.help = ""},
        [](Reader& reader, const Node& node, const Spot& spot, Root& root) {
          read_named(reader, node, spot, listen_section(), "a listener", root.config.listeners, [&] {
            ListenerConfig listener;
            listener.limits = root.limits;
            return listener;
          });
        },
        [](const Root&) { return std::string(); });
    listen.section = &listen_section();
    Key& pool = declare.key(
        "pool", Type::named_tables, {.help = ""},
        [](Reader& reader, const Node& node, const Spot& spot, Root& root) {
          read_named(reader, node, spot, pool_section(), "a pool", root.config.pools, [&] {
            PoolConfig made_pool;
            made_pool.check = root.check;
            return made_pool;
          });
        },
        [](const Root&) { return std::string(); });
    pool.section = &pool_section();
    Key& route =
        declare.key("route", Type::table_list, {.help = ""}, read_routes, [](const Root&) { return std::string(); });
    route.section = &route_section();
    return made;
  }();
  return section;
}

const std::vector<const Section*>& all_sections() {
  static const std::vector<const Section*> sections{
      &server_section(),      &admin_section(),   &log_section(),      &access_section(),   &dns_section(),
      &incidents_section(),   &alert_section(),   &drill_section(),    &limits_section(),   &listen_section(),
      &certificate_section(), &pool_section(),    &endpoint_section(), &tier_section(),     &sticky_section(),
      &check_section(),       &passive_section(), &degraded_section(), &failover_section(), &gate_section(),
      &fitness_section(),     &compare_section(), &retry_section(),    &openings_section(), &upstream_tls_section(),
      &route_section(),       &match_section(),   &redirect_section(), &respond_section(),  &header_rules_section(),
      &websocket_section()};
  return sections;
}

std::string default_text(const Section& section, const Key& key) {
  if (!key.default_value.empty() || key.open || !key.write) return key.default_value;
  return key.write(section.defaults());
}

std::string inline_table(const Section& section, const void* object) {
  std::string out = "{ ";
  for (const Key& key : section.keys) {
    const std::string value = key.write ? key.write(object) : "";
    if (value.empty() || (!key.spec.required && value == default_text(section, key))) continue;
    out += (out.size() > 2 ? ", " : "") + key.name + " = " + value;
  }
  return out.size() > 2 ? out + " }" : "{}";
}

std::string format_value(Type type, double value) {
  switch (type) {
    case Type::duration: return format_duration(Duration(static_cast<std::int64_t>(value)));
    case Type::size: return format_size(static_cast<std::uint64_t>(value));
    case Type::byte_rate: return format_byte_rate(static_cast<std::uint64_t>(value));
    case Type::rate: return format_rate(value);
    case Type::share: return format_share(value);
    default: return std::to_string(static_cast<std::int64_t>(value));
  }
}

}  // namespace understudy::config
