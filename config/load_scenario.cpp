// TOML text to Scenario, and whether it fits a configuration.
#include <algorithm>

#include "config/document.hpp"
#include "config/reader.hpp"
#include "config/scenario_fit.hpp"
#include "config/scenario_keys.hpp"
#include "config/suggest.hpp"
#include "config/text.hpp"

namespace understudy::config {
namespace {

// A scenario must be the same everywhere: nothing in it comes from the environment or from files.
void refuse_expansion(Reader& reader, Node& node) {
  if (node.is(Node::Kind::text) && node.text.find("${") != std::string::npos) {
    node.unread = true;
    reader.error(node.span, "a scenario takes nothing from outside", "write the value itself");
  }
  for (Node& item : node.items) refuse_expansion(reader, item);
  for (Member& member : node.members) refuse_expansion(reader, member.value);
}

// What does not fit, and the way to it in the file: names, and places in arrays as "#0".
using Path = std::vector<std::string>;
struct Misfit {
  std::string message;
  Path path;
};

std::string nth(std::size_t index) { return "#" + std::to_string(index); }

// The value there, or as near to it as the file has one.
Span span_at(const Node& document, const Path& path) {
  const Node* node = &document;
  Span span;
  for (const std::string& step : path) {
    if (step.starts_with('#')) {
      const std::size_t index = std::stoul(step.substr(1));
      if (index >= node->items.size()) break;
      node = &node->items[index];
    } else {
      const Member* member = node->find(step);
      if (member == nullptr) break;
      node = &member->value;
    }
    span = node->span;
  }
  return span;
}

// The names in one configuration, and complaints about others.
class Names {
public:
  explicit Names(const PoolConfig& pool) : pool_(pool) {
    for (const TierConfig& tier : pool.tiers) {
      tiers_.emplace_back(tier.name);
      places_.emplace_back(tier.name);
    }
    for (const TierConfig& tier : pool.tiers) {
      for (const EndpointConfig& endpoint : tier.endpoints) places_.emplace_back(endpoint.label());
    }
    places_.emplace_back("all");
    for (const GateConfig& gate : pool.failover.gates) {
      if (gate.kind == GateKind::approval) approvals_.emplace_back(gate.name);
    }
  }

  void need_place(const std::string& name, const std::string& what, Path path) {
    need(name, places_, what, "tier or endpoint", std::move(path));
  }
  void need_tier(const std::string& name, const std::string& what, Path path) {
    need(name, tiers_, what, "tier", std::move(path));
  }
  void need_approval(const std::string& name, const std::string& what, Path path) {
    need(name, approvals_, what, "gate with an approval", std::move(path));
  }
  void add(std::string message, Path path) { misfits_.push_back({std::move(message), std::move(path)}); }
  std::vector<Misfit> take() { return std::move(misfits_); }

private:
  void need(const std::string& name, const std::vector<std::string_view>& among, const std::string& what,
            const char* kind, Path path) {
    if (std::find(among.begin(), among.end(), name) != among.end()) return;
    std::string message = what + " names '" + printable(name) + "', but [pool." + pool_.name + "] has no such " + kind;
    if (const auto near = nearest(name, among)) {
      message += "; did you mean '" + *near + "'?";
    } else if (!among.empty()) {
      message += "; it has ";
      for (std::size_t i = 0; i < among.size() && i < 8; ++i)
        message += (i == 0 ? "'" : ", '") + printable(among[i]) + "'";
      if (among.size() > 8) message += " and " + std::to_string(among.size() - 8) + " more";
    }
    add(std::move(message), std::move(path));
  }

  const PoolConfig& pool_;
  std::vector<std::string_view> tiers_, places_, approvals_;
  std::vector<Misfit> misfits_;
};

// The pool that a scenario is about; else why there is none.
const PoolConfig* find_pool(const Scenario& scenario, const Config& config, std::string& why) {
  if (!scenario.pool.empty()) {
    if (const PoolConfig* pool = config.pool(scenario.pool)) return pool;
    std::vector<std::string_view> names;
    for (const PoolConfig& pool : config.pools) names.emplace_back(pool.name);
    why = "'pool' names '" + printable(scenario.pool) + "', which the configuration does not have";
    if (const auto near = nearest(scenario.pool, names)) why += "; did you mean '" + *near + "'?";
    return nullptr;
  }
  if (config.pools.size() == 1) return &config.pools.front();
  why = "the configuration has " + std::to_string(config.pools.size()) +
        " pools; say which with 'pool' at the top of "
        "the scenario";
  if (!config.pools.empty()) why += ", as in pool = " + toml_string(config.pools.front().name);
  return nullptr;
}

std::vector<Misfit> misfits_of(const Scenario& scenario, const Config& config) {
  std::string why;
  const PoolConfig* pool = find_pool(scenario, config, why);
  if (pool == nullptr) return {{why, {"pool"}}};
  Names names(*pool);
  for (std::size_t i = 0; i < scenario.faults.size(); ++i) {
    if (scenario.faults[i].kind == FaultKind::starve) continue;
    names.need_place(scenario.faults[i].where, "'where' of fault " + std::to_string(i + 1), {"fault", nth(i), "where"});
  }
  for (std::size_t i = 0; i < scenario.acts.size(); ++i) {
    const ScenarioAct& act = scenario.acts[i];
    const std::string what = "'to' of operator act " + std::to_string(i + 1);
    const Path path{"operator", nth(i), "to"};
    if (act.act == ActKind::approve) names.need_approval(act.to, what, path);
    if (act.act == ActKind::failover && !act.to.empty()) names.need_tier(act.to, what, path);
  }
  const ScenarioExpect& expect = scenario.expect;
  for (std::size_t i = 0; i < expect.serving.size(); ++i)
    names.need_tier(expect.serving[i].tier, "'serving'", {"expect", "serving", nth(i), "tier"});
  if (pool->tiers.size() < 2) {
    const char* const key = expect.shifted                       ? "shifted"
                            : expect.returned                    ? "returned"
                            : expect.least_moves.value_or(0) > 0 ? "least_moves"
                                                                 : nullptr;
    if (key != nullptr)
      names.add("a move is expected, but [pool." + pool->name + "] has one tier only", {"expect", key});
  }
  return names.take();
}

}  // namespace

ScenarioResult load_scenario(std::string_view text, const std::string& file, Rung rung) {
  ScenarioResult result;
  Diagnostic failure;
  auto document = parse_document(text, file, failure);
  if (!document) {
    result.diagnostics.push_back(std::move(failure));
    return result;
  }
  static const LoadContext nothing{};
  Reader reader(file, nothing, scenario_sections());
  Scenario scenario;
  refuse_expansion(reader, *document);
  reader.read_table(scenario_section(), *document, &scenario, "", "");
  validate_scenario(scenario, reader);
  validate_rung(scenario, reader, rung);
  if (!reader.failed()) result.scenario = std::move(scenario);
  result.diagnostics = reader.take_diagnostics();
  sort_diagnostics(result.diagnostics);
  return result;
}

std::vector<std::string> mismatches(const Scenario& scenario, const Config& config) {
  std::vector<std::string> messages;
  for (Misfit& misfit : misfits_of(scenario, config)) messages.push_back(std::move(misfit.message));
  return messages;
}

std::vector<Diagnostic> placed_mismatches(const Scenario& scenario, const Config& config, std::string_view text,
                                          const std::string& file) {
  Diagnostic unparsed;
  const auto document = parse_document(text, file, unparsed);
  std::vector<Diagnostic> diagnostics;
  for (Misfit& misfit : misfits_of(scenario, config)) {
    const Span span = document ? span_at(*document, misfit.path) : Span{};
    Diagnostic diagnostic;
    diagnostic.file = file;
    diagnostic.line = span.line;
    diagnostic.column = span.column;
    diagnostic.width = span.width;
    diagnostic.message = std::move(misfit.message);
    diagnostics.push_back(std::move(diagnostic));
  }
  sort_diagnostics(diagnostics);
  return diagnostics;
}

}  // namespace understudy::config
