// The keys of a scenario's [guards].
#include "config/declare.hpp"
#include "config/scenario_keys.hpp"

namespace understudy::config {
namespace {

constexpr double second = 1000;
constexpr double minute = 60 * second;
constexpr std::size_t most_windows = 50;

void read_windows(Reader& reader, const Node& node, const Spot& spot, ScenarioGuards& guards) {
  const auto list = reader.text_list(node, spot, {});
  if (!list) return;
  guards.block_out.clear();
  for (const ListedText& item : *list) {
    std::string problem;
    if (parse_week_window(item.text, &problem)) {
      guards.block_out.push_back(item.text);
      continue;
    }
    const std::size_t remedy = problem.find("; ");
    reader.error(item.span, "'" + printable(item.text) + "' " + problem.substr(0, remedy), problem.substr(remedy + 2));
  }
  if (guards.block_out.size() > most_windows)
    reader.error(node.span, "'block_out' has more than " + std::to_string(most_windows) + " windows");
}

}  // namespace

const Section& guards_section() {
  static const Section section = [] {
    Section made{.id = "guards",
                 .header = "[guards]",
                 .help =
                     "For `understudy drill --live`: what must hold before it begins and while it runs. What does not "
                     "hold any more ends it at once: every fault is lifted, and what was held against endpoints while "
                     "one was on them is void as soon as a check, made at once, is answered well. Traffic that left "
                     "a tier because of them then goes back, unless the pool has `gates`."};
    Declare<ScenarioGuards> declare(made);
    declare.quantity("error_share", Type::share, &ScenarioGuards::error_share,
                     {.help = "Largest share of the pool's answers that may be failures (5xx).",
                      .max = 1,
                      .word = "none",
                      .example = "\"2%\""});
    declare.duration(
        "latency_p95", &ScenarioGuards::latency_p95,
        {.help = "Longest 95th percentile of what its clients wait. Those still waiting are included where "
                 "they are more than were answered in the last second.",
         .min = 1,
         .max = 10 * minute,
         .example = "\"500ms\"",
         .unset = "not looked at"});
    declare.duration("over", &ScenarioGuards::over,
                     {.help = "Time over which both are taken.", .min = second, .max = minute, .example = "\"3s\""});
    declare.integer("min_requests", &ScenarioGuards::min_requests,
                    {.help = "With fewer requests in that time nothing is judged by them.",
                     .min = 1,
                     .max = 1'000'000,
                     .example = "50"});
    declare.boolean(
        "standby_fit", &ScenarioGuards::standby_fit,
        {.help = "Whether another tier must be able to serve, with nothing that speaks against its fitness.",
         .example = "false"});
    declare.boolean(
        "no_incident", &ScenarioGuards::no_incident,
        {.help = "Whether an open incident, of any pool and not of a drill's making, forbids it.", .example = "false"});
    declare.boolean(
        "leave_gated", &ScenarioGuards::leave_gated,
        {.help = "Whether a fault may be on the tier that serves where the pool has `gates`: what leaves it "
                 "returns only through them, also when the drill is cut short.",
         .example = "true"});
    declare.mixed("block_out", R"({"type":"array","items":{"type":"string"}})",
                  {.help = "Windows in which there is no drill, in the local time of the proxy.",
                   .example = "[\"mon-fri 08:00-18:00\", \"sat,sun\"]",
                   .shape = "array of times of the week"},
                  read_windows, [](const ScenarioGuards& guards) {
                    std::vector<std::string> items;
                    for (const std::string& item : guards.block_out) items.push_back(toml_string(item));
                    return list_text(items);
                  });
    declare.duration("lease", &ScenarioGuards::lease,
                     {.help = "The drill ends by itself when its command has not been heard of for so long.",
                      .min = 300,
                      .max = minute,
                      .example = "\"3s\""});
    return made;
  }();
  return section;
}

}  // namespace understudy::config
