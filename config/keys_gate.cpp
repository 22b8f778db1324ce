// The keys of a gate: [pool.NAME.failover].gates.
#include <algorithm>
#include <array>

#include "config/declare.hpp"

namespace understudy::config {
namespace {

constexpr double second = 1000;
constexpr double hour = 3600 * second;
constexpr std::size_t most_gates = 16;
constexpr std::size_t most_words = 64;  // of a command
constexpr std::size_t longest_word = 4096;
constexpr std::size_t longest_name = 100;

constexpr std::array<std::pair<std::string_view, GateKind>, 3> kinds{
    {{"url", GateKind::url}, {"command", GateKind::command}, {"approval", GateKind::approval}}};

bool is_kind(std::string_view key) {
  return std::any_of(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.first == key; });
}

bool applies(std::string_view key, GateKind kind) {
  if (key == "expect") return kind == GateKind::url;
  if (key == "name" || key == "timeout") return kind != GateKind::approval;
  return true;
}

// What a gate is called that was given no name.
std::string usual_name(const GateConfig& gate) {
  if (gate.kind == GateKind::url) return gate.url;
  if (gate.kind == GateKind::command && !gate.command.empty())
    return gate.command.front().substr(gate.command.front().rfind('/') + 1);
  return "";
}

// Names are typed by people (`approve POOL NAME`), so they fit a line and have no invisible edges.
void read_name(Reader& reader, const Node& node, const Spot& spot, GateConfig& gate) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  const std::string name(spot.name);
  if (text->front() == ' ' || text->back() == ' ') {
    reader.error(node.span, "'" + name + "' starts or ends with a space", "leave it out");
  } else if (code_points(*text) > longest_name) {
    reader.error(node.span, "'" + name + "' is longer than " + std::to_string(longest_name) + " characters");
  } else {
    gate.name = *text;
  }
}

void read_url(Reader& reader, const Node& node, const Spot& spot, GateConfig& gate) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  std::string problem;
  if (parse_http_url(*text, &problem)) {
    gate.url = *text;
    return;
  }
  const std::size_t remedy = problem.find("; ");
  reader.error(node.span, "'url'" + Reader::quoted(node) + " " + problem.substr(0, remedy),
               remedy == std::string::npos ? "" : problem.substr(remedy + 2));
}

void read_command(Reader& reader, const Node& node, const Spot& spot, GateConfig& gate) {
  if (node.is(Node::Kind::text)) {
    return reader.wrong_type(node, spot, "an array of the program and its arguments",
                             "there is no shell; write [\"/usr/local/bin/compare-data\", \"app\"]");
  }
  const auto list = reader.text_list(node, spot, {.help = "", .allow_empty = true});
  // Where an argument was wrong, that was said.
  if (!list || list->size() != node.items.size()) return;
  if (list->empty())
    return reader.error(node.span, "'command' is empty", "write [\"/usr/local/bin/compare-data\", \"app\"]");
  if (list->size() > most_words) {
    return reader.error(node.span, "'command' has more than " + std::to_string(most_words) + " words",
                        "put it into a script");
  }
  const std::string& program = list->front().text;
  if (program.empty() || program.front() != '/' || program.back() == '/') {
    return reader.error(list->front().span, "'command' must start with the absolute path of a program",
                        "there is no shell and no search path; write \"/usr/local/bin/compare-data\"");
  }
  for (const ListedText& word : *list) {
    if (word.text.size() > longest_word || word.text.find('\0') != std::string::npos) {
      return reader.error(word.span, "a word of 'command' is longer than " + std::to_string(longest_word) +
                                         " bytes, or has a zero byte in it");
    }
  }
  for (const ListedText& word : *list) gate.command.push_back(word.text);
}

std::string command_text(const GateConfig& gate) {
  std::vector<std::string> words;
  for (const std::string& word : gate.command) words.push_back(toml_string(word));
  return words.empty() ? "" : list_text(words);
}

// A gate is exactly one of its kinds, and has beside it only what that kind has a use for.
void settle_kind(Reader& reader, const Node& item, GateConfig& gate) {
  const Member* first = nullptr;
  bool is_unknown = false;
  for (const Member& member : item.members) {
    is_unknown = is_unknown || gate_section().find(member.name) == nullptr;
    if (!is_kind(member.name)) continue;
    if (first != nullptr) {
      return reader.error(member.span, "'" + first->name + "' and '" + member.name + "' of a gate exclude each other",
                          "write two gates; all of them must pass");
    }
    first = &member;
  }
  if (first == nullptr) {
    // A misspelt kind was named as such.
    if (!is_unknown) {
      reader.error(item.span, "a gate needs 'url', 'command' or 'approval'",
                   "write { url = \"http://10.0.0.11:9000/ready\" }");
    }
    return;
  }
  for (const auto& [key, kind] : kinds) {
    if (key == first->name) gate.kind = kind;
  }
  for (const Member& member : item.members) {
    if (applies(member.name, gate.kind)) continue;
    if (member.name == "name") {
      reader.error(member.span, "an approval is named by its text", "leave 'name' out");
    } else {
      reader.error(member.span, "'" + member.name + "' does nothing in a gate with '" + first->name + "'");
    }
  }
  if (gate.name.empty()) gate.name = usual_name(gate);
}

void read_gates(Reader& reader, const Node& node, const Spot& spot, FailoverConfig& failover) {
  if (!node.is(Node::Kind::array)) {
    return reader.wrong_type(node, spot, "an array of gates", "write [{ url = \"http://10.0.0.11:9000/ready\" }]");
  }
  if (node.items.size() > most_gates)
    return reader.error(node.span, "'gates' has more than " + std::to_string(most_gates) + " items");
  failover.gates.clear();
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    const std::string path = spot.path + "[" + std::to_string(i) + "]";
    reader.note_item(path, item);
    GateConfig gate;
    if (item.is(Node::Kind::table)) {
      reader.read_table(gate_section(), item, &gate, path, spot.where + "." + std::string(spot.name));
      settle_kind(reader, item, gate);
    } else {
      reader.wrong_item(item, spot, "{ url, expect }, { command } and { approval } tables");
    }
    failover.gates.push_back(std::move(gate));
  }
}

std::string gates_text(const FailoverConfig& failover) {
  std::vector<std::string> items;
  for (const GateConfig& gate : failover.gates) items.push_back(inline_table(gate_section(), &gate));
  return list_text(items);
}

}  // namespace

const Section& gate_section() {
  static const Section section = [] {
    Section made{.id = "gate",
                 .header = "[pool.NAME.failover].gates",
                 .help =
                     "A condition for the return of traffic, each with exactly one of `url`, `command` and "
                     "`approval`. All gates of a pool must pass."};
    Declare<GateConfig> declare(made);
    declare.key("url", Type::text,
                {.help = "Passes when a GET of it is answered with 2xx. `http` only.",
                 .example = "\"http://10.0.0.11:9000/ready\""},
                read_url, [](const GateConfig& gate) { return gate.url.empty() ? "" : toml_string(gate.url); });
    declare.text("expect", &GateConfig::expect,
                 {.help = "Text that the answer to `url` must contain.", .example = "\"OK\"", .unset = "any"});
    declare.mixed("command", R"({"type":"array","minItems":1,"items":{"type":"string"}})",
                  {.help = "Passes when this program ends with 0. It is run without a shell: a path from `/`, and its "
                           "arguments.",
                   .example = "[\"/usr/local/bin/compare-data\", \"app\"]",
                   .shape = "array of texts"},
                  read_command, command_text);
    declare.key("approval", Type::text,
                {.help = "Passes when a person approves what this text says.", .example = "\"data compared\""},
                read_name, [](const GateConfig& gate) {
                  return gate.kind == GateKind::approval && !gate.name.empty() ? toml_string(gate.name) : "";
                });
    declare.duration("timeout", &GateConfig::timeout,
                     {.help = "Longest request or run; then the program is killed and the gate has not passed.",
                      .min = 100,
                      .max = hour,
                      .example = "\"30s\""});
    declare.key("name", Type::text,
                {.help = "What it is called in status, events and commands.",
                 .example = "\"database\"",
                 .unset = "the URL, or the program's name"},
                read_name, [](const GateConfig& gate) {
                  const bool is_own = gate.kind != GateKind::approval && gate.name != usual_name(gate);
                  return is_own ? toml_string(gate.name) : "";
                });
    return made;
  }();
  return section;
}

void declare_gates(Section& section) {
  Declare<FailoverConfig> declare(section);
  Key& gates = declare.mixed(
      "gates",
      R"({"type":"array","items":{"allOf":[{"$ref":"#/definitions/gate"},{"oneOf":[{"required":["url"]},{"required":["command"]},{"required":["approval"]}]}]}})",
      {.help = "What must hold before traffic returns to an earlier tier.",
       .example = "[{ url = \"http://10.0.0.11:9000/ready\", expect = \"OK\" }, { approval = \"data compared\" }]",
       .shape = "array of gates"},
      read_gates, gates_text);
  gates.section = &gate_section();
}

}  // namespace understudy::config
