// The keys of [drill.NAME], and what must be true of them.
#include <algorithm>

#include "config/calendar.hpp"
#include "config/declare.hpp"
#include "config/scenario.hpp"
#include "config/suggest.hpp"
#include "config/validate.hpp"

namespace understudy::config {
namespace {

constexpr double minute = 60'000;
constexpr double day = 24 * 60 * minute;

// The scenario is read too: one that could not be run is found here, and not on the day on which it is due.
void read_scenario(Reader& reader, const Node& node, const Spot& spot, const Spec& spec, DrillConfig& drill) {
  const auto path = reader.file_path(node, spot, spec);
  if (!path) return;
  drill.scenario = *path;
  const auto text = reader.context().read_file ? reader.context().read_file(*path) : std::nullopt;
  if (!text) return;  // told by validate_drills
  const ScenarioResult loaded = load_scenario(*text, *path, Rung::live);
  if (loaded.scenario) {
    drill.title = loaded.scenario->name;
    return;
  }
  const Diagnostic& first = loaded.diagnostics.front();
  reader.error(node.span,
               "the scenario '" + printable(*path, 200) + "' can't be run live: line " + std::to_string(first.line) +
                   ": " + first.message,
               first.hint.empty() ? "see 'understudy schema --scenario --reference'" : first.hint);
}

void read_time(Reader& reader, const Node& node, const Spot& spot, DrillConfig& drill) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  std::string problem;
  if (parse_week_time(*text, &problem)) {
    drill.at = *text;
    return;
  }
  const std::size_t remedy = problem.find("; ");
  reader.error(node.span, "'at'" + Reader::quoted(node) + " " + problem.substr(0, remedy), problem.substr(remedy + 2));
}

}  // namespace

const Section& drill_section() {
  static const Section section = [] {
    Section made{.id = "drill",
                 .header = "[drill.NAME]",
                 .help =
                     "A live drill that has to be made again and again. Understudy does not begin it: a timer does, or "
                     "people, with `understudy drill --live`. It tells when that was not done."};
    Declare<DrillConfig> declare(made);
    const Spec file{.help = "Scenario, a TOML file; its runs are known by its `name`.",
                    .example = "\"drills/primary_dies.toml\"",
                    .required = true};
    declare.key(
        "scenario", Type::path, file,
        [file](Reader& reader, const Node& node, const Spot& spot, DrillConfig& drill) {
          read_scenario(reader, node, spot, file, drill);
        },
        [](const DrillConfig& drill) { return drill.scenario.empty() ? "" : toml_string(drill.scenario); });
    declare.key("at", Type::text,
                {.help = "When it is due, in the local time of the proxy: days and a time, or a time for each day.",
                 .example = "\"tue 10:00\"",
                 .required = true},
                read_time, [](const DrillConfig& drill) { return drill.at.empty() ? "" : toml_string(drill.at); });
    declare.texts_list("pools", &DrillConfig::pools,
                       {.help = "Pools in which it has to be made.", .example = "[\"app\"]", .required = true});
    declare.duration("grace", &DrillConfig::grace,
                     {.help = "Overdue is one that was not made until so long after it was due.",
                      .min = minute,
                      .max = 30 * day,
                      .example = "\"2h\""});
    return made;
  }();
  return section;
}

void validate_drills(const Config& config, Reader& reader) {
  for (const DrillConfig& drill : config.drills) {
    const std::string path = "drill." + drill.name;
    validate_file(drill.scenario, path + ".scenario", false, reader);
    if (reader.mark(path + ".pools") == nullptr) continue;
    if (drill.pools.empty() && !reader.is_refused(path + ".pools"))
      reader.error(reader.span_of(path + ".pools"), "'pools' names no pool", "write pools = [\"app\"]");
    std::vector<std::string_view> names;
    for (const PoolConfig& pool : config.pools) names.emplace_back(pool.name);
    for (const std::string& pool : drill.pools) {
      if (config.pool(pool) != nullptr) continue;
      const auto near = nearest(pool, names);
      reader.error(reader.span_of(path + ".pools"),
                   "[" + path + "].pools names '" + printable(pool) + "', which is not defined",
                   near ? "did you mean '" + *near + "'?" : "");
    }
  }
}

}  // namespace understudy::config
