// The reference page, in Markdown.
#include "config/declare.hpp"
#include "config/scenario_keys.hpp"

namespace understudy::config {
namespace {

std::string type_words(const Key& key) {
  const std::string word = key.spec.word.empty() ? "" : " or \"" + std::string(key.spec.word) + "\"";
  switch (key.type) {
    case Type::text: return "text";
    case Type::path: return "path" + word;
    case Type::secret: return "secret";
    case Type::boolean: return "boolean";
    case Type::integer: return "integer" + word;
    case Type::duration: return "duration" + word;
    case Type::size: return "size" + word;
    case Type::byte_rate: return "bytes per second" + word;
    case Type::rate: return "rate" + word;
    case Type::share: return "share" + word;
    case Type::address: return "address";
    case Type::text_list: return "array of texts";
    case Type::address_list: return "array of addresses";
    case Type::network_list: return "array of networks";
    case Type::text_map: return "table of texts";
    case Type::table: return "table";
    case Type::named_tables:
    case Type::table_list: return "tables";
    case Type::mixed: return std::string(key.spec.shape);
    case Type::choice: {
      std::string out;
      for (const std::string& choice : key.choices) out += (out.empty() ? "\"" : ", \"") + choice + "\"";
      return out;
    }
  }
  return "";
}

std::string bounds(const Key& key) {
  switch (key.type) {
    case Type::integer:
    case Type::duration:
    case Type::size:
    case Type::byte_rate:
    case Type::rate:
    case Type::share: break;
    default: return "";
  }
  const Spec open;
  const bool low = key.spec.min > 0;
  const bool high = key.spec.max < open.max;
  if (low && high) return ", " + format_value(key.type, key.spec.min) + " to " + format_value(key.type, key.spec.max);
  if (low) return ", at least " + format_value(key.type, key.spec.min);
  if (high) return ", at most " + format_value(key.type, key.spec.max);
  return "";
}

std::string code(std::string_view text) { return text.empty() ? "" : "`" + std::string(text) + "`"; }

std::string usual(const Section& section, const Key& key) {
  if (key.spec.required) return "required";
  if (!key.spec.unset.empty()) return std::string(key.spec.unset);
  const std::string text = default_text(section, key);
  return text.empty() ? "none" : code(text);
}

void describe(const Section& section, std::string& out) {
  out += section.header.empty() ? "\n## Top of the file" : "\n## `" + section.header + "`";
  if (!section.also.empty()) out += ", `" + section.also + "`";
  out += "\n\n" + section.help + "\n\n| Key | Value | Default | Meaning | Example |\n|---|---|---|---|---|\n";
  for (const Key& key : section.keys) {
    out += "| `" + key.name + "` | " + type_words(key) + bounds(key) + " | " + usual(section, key) + " | " +
           std::string(key.spec.help);
    if (key.spec.restart) out += " *Restart.*";
    if (key.type == Type::table || key.type == Type::table_list) {
      out += " See `" + key.section->header + "`.";
    }
    out += " | " + code(key.spec.example) + " |\n";
  }
}

}  // namespace

std::string reference_page() {
  std::string out =
      "# Configuration reference\n"
      "\n"
      "Generated from the key declarations; a test fails when it is stale. Do not edit.\n"
      "\n"
      "Values with a unit are strings: durations `\"500ms\"`, `\"1m30s\"` (units `d h m s ms`), sizes "
      "`\"16KiB\"`, `\"10MB\"`\n"
      "(`B kB KiB MB MiB GB GiB TB TiB`), rates `\"50/s\"` (`/s /m /h`), shares `\"5%\"`. A bare number is "
      "refused.\n"
      "`\"none\"` means no limit where it is listed; zero never does.\n"
      "\n"
      "Any text may be `\"${NAME}\"`, an environment variable, or `\"${file:PATH}\"`, the content of a file "
      "without its last line end.\n"
      "An unset variable is an error. `$${` stands for the characters `${`. Relative paths are relative to "
      "the configuration file.\n"
      "\n"
      "Keys take effect at a reload, except those marked *Restart*. Unknown keys are errors. Names of "
      "listeners, pools, tiers,\n"
      "endpoints and routes are up to 64 letters, digits, `-`, `_` and `.`.\n";
  for (const Section* section : all_sections()) describe(*section, out);
  return out;
}

std::string scenario_reference_page() {
  std::string out =
      "# Scenario reference\n"
      "\n"
      "Generated from the key declarations; a test fails when it is stale. Do not edit.\n"
      "\n"
      "A scenario is a TOML file: load, faults on a timetable, and what is expected of the proxy meanwhile.\n"
      "`understudy rehearse` runs it in virtual time. All times count from the beginning, those of `[expect]` from "
      "the\n"
      "faults. Values with a unit are strings: durations `\"500ms\"`, `\"1m30s\"` (units `d h m s ms`), rates "
      "`\"300/s\"`\n"
      "(`/s /m /h`), shares `\"5%\"`. Unknown keys are errors, and so is what contradicts itself, lies outside of the\n"
      "scenario or can't be measured. Nothing comes from the environment.\n";
  for (const Section* section : scenario_sections()) describe(*section, out);
  out += "\n## Kinds of event\n\nFor `events` and `no_events`:\n";
  for (const std::string_view kind : event_kinds()) out += "\n- `" + std::string(kind) + "`";
  out += "\n\n## Types of alert\n\nFor `alerts`:\n";
  for (const std::string_view type : alert_types()) out += "\n- `" + std::string(type) + "`";
  return out + "\n";
}

}  // namespace understudy::config
