// The declarations of all configuration keys. One declaration per key gives its parsing, bounds and default,
// its place in `config show`, the reference page, the JSON Schema, and "did you mean". Declared in keys_*.cpp
// with declare.hpp.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.hpp"

namespace understudy::config {

class Reader;
struct Node;
struct Section;

enum class Type : std::uint8_t {
  text,
  path,  // relative ones are relative to the file
  secret,
  boolean,
  integer,
  duration,
  size,
  byte_rate,
  rate,
  share,
  choice,  // one of Key::choices
  address,
  text_list,
  address_list,
  network_list,
  text_map,      // { name = "text" }
  table,         // [section]
  named_tables,  // [section.NAME]
  table_list,    // [[section]]
  mixed          // several shapes: Key::spec.shape says which, Key::schema how
};

// What a declaration says besides name and field. `min` and `max` are in the type's base: milliseconds,
// bytes, one = 100 %.
struct Spec {
  std::string_view help;
  double min = 0;
  double max = 9'007'199'254'740'992.0;
  std::string_view word = "";     // accepted besides values: "none" (no limit) or "auto"
  std::string_view example = "";  // a TOML value; for the reference page and the tests
  std::string_view unset = "";    // what an absent value means, when the default can't be written
  bool restart = false;           // takes effect only at start
  bool required = false;
  bool allow_empty = false;     // texts: "" is a value
  std::string_view shape = "";  // mixed: the accepted shapes in words
};

// Where a value stands: "pool.app.check.timeout", "[pool.app.check]", "timeout".
struct Spot {
  const std::string& path;
  const std::string& where;
  std::string_view name;
};

struct Key {
  std::string name;
  Type type = Type::text;
  Spec spec;
  std::vector<std::string> choices;
  std::string schema;                // mixed: its JSON Schema
  std::string default_value;         // as TOML, where writing a default object can't tell it
  const Section* section = nullptr;  // tables: what is inside
  std::string inherits;              // tables: the top-level table that gives their defaults, "check"
  // Reads a value into the object of the key's section; problems go to the reader.
  std::function<void(Reader&, const Node&, const Spot&, void*)> read;
  // The value as TOML; "" when it is not set.
  std::function<std::string(const void*)> write;
  // Tables: the object inside, made when it is absent; and a look that makes nothing (nullptr: absent).
  std::function<void*(void*)> open;
  std::function<const void*(const void*)> view;
};

struct Section {
  std::string id = {};      // "pool.check"
  std::string header = {};  // "[pool.NAME.check]"
  std::string also = {};    // another place of the same keys: "[check]"
  std::string help = {};
  std::vector<Key> keys = {};
  std::function<const void*()> defaults = {};  // an object with every default

  const Key* find(std::string_view name) const;
};

// The top of the file: what is read before listeners and pools inherit from it.
struct Root {
  Config config;
  CheckConfig check;
  Limits limits;
};

const Section& root_section();
const Section& server_section();
const Section& admin_section();
const Section& log_section();
const Section& access_section();
const Section& dns_section();
const Section& incidents_section();
const Section& alert_section();
const Section& drill_section();
const Section& limits_section();
const Section& listen_section();
const Section& certificate_section();
const Section& check_section();
const Section& pool_section();
const Section& endpoint_section();
const Section& tier_section();
const Section& sticky_section();
const Section& passive_section();
const Section& degraded_section();
const Section& failover_section();
const Section& gate_section();
const Section& fitness_section();
const Section& compare_section();
const Section& retry_section();
const Section& openings_section();
const Section& upstream_tls_section();
const Section& route_section();
const Section& match_section();
const Section& redirect_section();
const Section& respond_section();
const Section& header_rules_section();
const Section& websocket_section();

// All of them in the order of the reference page, without the root.
const std::vector<const Section*>& all_sections();

// Adds `gates` to [pool.NAME.failover].
void declare_gates(Section& failover);

// Adds `fitness` to [pool.NAME].
void declare_fitness(Section& pool);

// Status codes as `expect` takes them: 204, "200-299", "200,204,300-399".
void read_statuses(Reader& reader, const Node& node, const Spot& spot, std::vector<StatusRange>& ranges);
std::string statuses_text(const std::vector<StatusRange>& ranges);
extern const char* const statuses_schema;

// Whether a key of [check] has a use in that kind of check ("expect" only in HTTP checks, …).
bool check_key_applies(const std::string& key, CheckKind kind);

// The default of a key as TOML; "" when there is none.
std::string default_text(const Section& section, const Key& key);

// "{ key = value, … }" with the keys that differ from their default.
std::string inline_table(const Section& section, const void* object);

// A bound or value of a key in words: 2000 of a duration is "2s".
std::string format_value(Type type, double value);

}  // namespace understudy::config
