// What a scenario means, everything that is made from the declarations of its keys, and the drills that are shipped.
#include "config/scenario.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "config/document.hpp"
#include "config/reader.hpp"
#include "config/scenario_keys.hpp"
#include "tests/config/json_schema.hpp"
#include "tests/config/scenario_fields.hpp"
#include "tests/config/support.hpp"
#include "tests/support/source_dir.hpp"

namespace understudy::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string root = understudy::support::source_dir();

std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(root + "/" + folder)) {
    if (entry.path().extension() == ".toml") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Those for virtual time and those for sockets.
std::vector<std::string> shipped() {
  std::vector<std::string> files = files_of("deploy/drills");
  for (const std::string& file : files_of("deploy/drills/sandbox")) files.push_back(file);
  return files;
}

// Loads what must be right, with no complaint at all.
Scenario good(const std::string& text, const std::string& file = "drill.toml") {
  const ScenarioResult result = load_scenario(text, file);
  EXPECT_EQ(render(result.diagnostics, text), "");
  if (!result.scenario) throw std::runtime_error("refused: " + text);
  return *result.scenario;
}

Scenario good_file(const std::string& name) {
  return good(read_all(root + "/tests/config/scenario_good/" + name), "/drills/x.toml");
}

Config config_of(const std::string& pools) {
  const LoadResult result = load_text("[listen.web]\naddress = \":8080\"\n" + pools);
  if (!result.config) throw std::runtime_error("refused: " + pools);
  return *result.config;
}

const std::string two_tiers =
    "[pool.app]\nprimary = [\"10.0.0.11:3000\", { address = \"10.0.0.12:3000\", name = \"p2\" }]\nstandby = "
    "[\"10.0.1.11:3000\"]\n";

TEST(Scenario, IsReadWhole) {
  const Scenario scenario = good_file("everything.toml");
  EXPECT_EQ(scenario.name, "Everything at once");
  EXPECT_EQ(scenario.config, "/drills/configs/app.toml") << "relative to the scenario's folder";
  EXPECT_EQ(scenario.length, 2min);
  EXPECT_EQ(scenario.load.rate, 300);
  EXPECT_EQ(scenario.load.post, 0.3);
  ASSERT_EQ(scenario.faults.size(), 5U);
  EXPECT_EQ(scenario.faults[0].kind, FaultKind::slow);
  EXPECT_EQ(scenario.faults[0].latency, 3s);
  EXPECT_EQ(scenario.faults[0].ramp, 10s);
  EXPECT_EQ(scenario.faults[0].health, FaultHealth::good);
  EXPECT_EQ(scenario.faults[1].status, 502);
  EXPECT_EQ(scenario.faults[2].kind, FaultKind::flap);
  EXPECT_EQ(scenario.faults[3].kind, FaultKind::starve);
  EXPECT_EQ(scenario.faults[3].until, 75s);
  ASSERT_EQ(scenario.acts.size(), 2U);
  EXPECT_EQ(scenario.acts[0].act, ActKind::approve);
  EXPECT_EQ(scenario.acts[1].to, "standby");
  EXPECT_EQ(scenario.expect.failed, 1U);
  EXPECT_EQ(scenario.expect.returned, 30s);
  ASSERT_EQ(scenario.expect.serving.size(), 2U);
  EXPECT_EQ(scenario.expect.serving[1].tier, "primary");
  EXPECT_THAT(scenario.expect.events, ElementsAre("tier_degraded", "gate"));
}

TEST(Scenario, LeavesOutWhatIsAsUsual) {
  const Scenario scenario = good_file("least.toml");
  EXPECT_EQ(scenario.length, 1min);
  EXPECT_EQ(scenario.load.rate, 100);
  EXPECT_EQ(scenario.load.latency, 5ms);
  EXPECT_THAT(scenario.faults, IsEmpty());
  EXPECT_EQ(scenario.expect.failed, std::nullopt);
  EXPECT_EQ(scenario.expect.moves, 0U);
}

TEST(Scenario, TakesEveryKindOfFaultWithWhatItNeeds) {
  const std::map<FaultKind, std::string> needs{{FaultKind::slow, "latency = \"1s\"\n"},
                                               {FaultKind::slow_body, "latency = \"1s\"\n"},
                                               {FaultKind::slow_websocket, "latency = \"1s\"\n"},
                                               {FaultKind::cold, "latency = \"1s\"\nlimit = 5\n"},
                                               {FaultKind::overload, "limit = 5\n"},
                                               {FaultKind::flap, "period = \"1s\"\n"}};
  for (std::size_t i = 0; i < fault_kinds().size(); ++i) {
    const auto kind = static_cast<FaultKind>(i);
    const std::string where = kind == FaultKind::starve ? "" : "where = \"all\"\n";
    const std::string more = needs.count(kind) != 0 ? needs.at(kind) : "";
    const Scenario scenario = good("name = \"x\"\n[[fault]]\nat = \"1s\"\nuntil = \"9s\"\nkind = \"" +
                                   fault_kinds()[i] + "\"\n" + where + more + "[expect]\nmoves = 9\n");
    EXPECT_EQ(scenario.faults.at(0).kind, kind);
  }
}

TEST(Scenario, HoldsNoMoreThanAHundredOfAKind) {
  std::string text = "name = \"x\"\n[expect]\nmoves = 0\n";
  for (int i = 0; i < 100; ++i) text += "[[fault]]\nat = \"1s\"\nkind = \"kill\"\nwhere = \"all\"\n";
  EXPECT_EQ(good(text).faults.size(), 100U);
  text += "[[fault]]\nat = \"1s\"\nkind = \"kill\"\nwhere = \"all\"\n";
  const ScenarioResult result = load_scenario(text, "drill.toml");
  EXPECT_FALSE(result.scenario);
  EXPECT_THAT(render(result.diagnostics, text), HasSubstr("'fault' has more than 100 items"));
}

TEST(ScenarioReference, IsNotStale) {
  const std::string path = root + "/config/scenario_reference.md";
  if (regenerating()) std::ofstream(path, std::ios::binary) << scenario_reference_page();
  EXPECT_EQ(read_all(path), scenario_reference_page()) << "run with UNDERSTUDY_REGENERATE=1";
}

TEST(ScenarioDeclarations, EveryKeyIsDescribedOnceAndIsInTheReferenceAndTheSchema) {
  const std::string page = scenario_reference_page();
  const JsonValue schema = parse_json(scenario_schema());
  for (const Section* section : scenario_sections()) {
    EXPECT_FALSE(section->help.empty()) << section->id;
    const JsonValue* properties = section == &scenario_section()
                                      ? schema.at({"properties"})
                                      : schema.at({"definitions", section->id, "properties"});
    ASSERT_NE(properties, nullptr) << section->id;
    EXPECT_EQ(properties->members.size(), section->keys.size()) << section->id;
    std::set<std::string> names;
    for (const Key& key : section->keys) {
      const std::string path = section->id + "." + key.name;
      EXPECT_TRUE(names.insert(key.name).second) << path;
      EXPECT_FALSE(key.spec.help.empty()) << path;
      EXPECT_TRUE(key.section != nullptr || !key.spec.example.empty()) << path;
      EXPECT_NE(page.find("\n| `" + key.name + "` | "), std::string::npos) << path;
      EXPECT_NE(properties->at({key.name}), nullptr) << path;
    }
  }
  for (const std::string_view kind : event_kinds())
    EXPECT_NE(page.find("\n- `" + std::string(kind) + "`"), std::string::npos) << kind;
}

TEST(ScenarioDeclarations, EveryExampleIsReadWithoutAComplaint) {
  const LoadContext context;
  const std::string file = "drill.toml";
  Scenario scenario;
  ScenarioFault fault;
  ScenarioAct act;
  ExpectServing serving;
  const std::map<const Section*, void*> objects{
      {&scenario_section(), &scenario},     {&scenario_load_section(), &scenario.load}, {&fault_section(), &fault},
      {&operator_section(), &act},          {&expect_section(), &scenario.expect},      {&serving_section(), &serving},
      {&guards_section(), &scenario.guards}};
  for (const Section* section : scenario_sections()) {
    for (const Key& key : section->keys) {
      if (key.spec.example.empty()) continue;
      const std::string text = key.name + " = " + std::string(key.spec.example) + "\n";
      Diagnostic failure;
      auto document = parse_document(text, file, failure);
      ASSERT_TRUE(document) << text << failure.message;
      Reader reader(file, context, scenario_sections());
      const std::string path = section->id + "." + key.name;
      const std::string usual = default_text(*section, key);
      key.read(reader, document->members[0].value, Spot{path, section->header, key.name}, objects.at(section));
      EXPECT_EQ(render(reader.take_diagnostics(), text), "");
      const std::string shown = key.write(objects.at(section));
      EXPECT_FALSE(shown.empty()) << path;
      EXPECT_NE(shown, usual) << path << ": an example that is the default shows nothing";
    }
  }
}

// Each field of the model takes, somewhere in everything.toml, a value other than its default: so each has a key.
TEST(ScenarioEverything, GivesEveryFieldAnotherValue) {
  Scenario usual;
  usual.faults.emplace_back();
  usual.acts.emplace_back();
  usual.expect.serving.emplace_back();
  const auto plain = [](const std::string& line) {
    std::string out;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '[') i = line.find(']', i);
      if (line[i] != ']') out += line[i];
    }
    return out;
  };
  std::map<std::string, std::string> defaults;
  std::map<std::string, bool> changed;
  for (const std::string& line : dump(usual)) {
    const std::string one = plain(line);
    defaults[one.substr(0, one.find(" = "))] = one;
    changed[one.substr(0, one.find(" = "))] = false;
  }
  for (const std::string& line : dump(good_file("everything.toml"))) {
    const std::string one = plain(line);
    const auto found = defaults.find(one.substr(0, one.find(" = ")));
    if (found != defaults.end() && found->second != one) changed[found->first] = true;
  }
  for (const auto& [path, is_changed] : changed)
    EXPECT_TRUE(is_changed) << path << " has no key, or no value in everything.toml";
}

TEST(ScenarioSchema, AcceptsEveryGoodFile) {
  const JsonSchema schema(scenario_schema());
  std::vector<std::string> files = files_of("tests/config/scenario_good");
  for (const std::string& drill : shipped()) files.push_back(drill);
  for (const std::string& path : files) {
    Diagnostic failure;
    const auto document = parse_document(read_all(path), path, failure);
    ASSERT_TRUE(document) << path;
    EXPECT_EQ(schema.complain(*document), "") << path;
  }
}

TEST(ScenarioSchema, RefusesWhatTheLoaderRefusesByItsShape) {
  const JsonSchema schema(scenario_schema());
  for (const char* name : {"name_missing", "unknown_keys", "kind_bad", "units_missing", "bounds", "keys_missing",
                           "events_bad", "serving_bad", "serving_not_an_array", "fault_as_table", "fault_as_text",
                           "expansion", "acts_bad", "texts_bad"}) {
    const std::string path = root + "/tests/config/scenario_cases/" + name + ".toml";
    Diagnostic failure;
    const auto document = parse_document(read_all(path), path, failure);
    ASSERT_TRUE(document) << path;
    EXPECT_NE(schema.complain(*document), "") << path;
  }
}

// ---- against a configuration

ScenarioFault fault_at(const std::string& where) {
  ScenarioFault fault;
  fault.where = where;
  return fault;
}

ScenarioAct act_of(ActKind kind, const std::string& to = "") {
  ScenarioAct act;
  act.act = kind;
  act.to = to;
  return act;
}

TEST(Mismatches, AreNoneWhereEveryNameIsThere) {
  Scenario scenario;
  scenario.faults = {fault_at("primary"), fault_at("p2"), fault_at("10.0.1.11:3000"), fault_at("all")};
  scenario.acts = {act_of(ActKind::failover, "standby"), act_of(ActKind::failback)};
  scenario.expect.serving = {{1s, "standby"}};
  scenario.expect.shifted = 1s;
  EXPECT_THAT(mismatches(scenario, config_of(two_tiers)), IsEmpty());
  scenario.pool = "app";
  EXPECT_THAT(mismatches(scenario, config_of(two_tiers)), IsEmpty());
}

TEST(Mismatches, NameWhatIsNotThereAndWhatIs) {
  Scenario scenario;
  scenario.faults = {fault_at("primray"), fault_at("10.0.0.12:3000"), fault_at("")};
  scenario.faults[2].kind = FaultKind::starve;
  scenario.acts = {act_of(ActKind::failover, "far"), act_of(ActKind::approve, "data compared")};
  scenario.expect.serving = {{1s, "p2"}};
  EXPECT_THAT(
      mismatches(scenario, config_of(two_tiers)),
      ElementsAre(
          "'where' of fault 1 names 'primray', but [pool.app] has no such tier or endpoint; did you mean "
          "'primary'?",
          "'where' of fault 2 names '10.0.0.12:3000', but [pool.app] has no such tier or endpoint; did you mean "
          "'10.0.0.11:3000'?",
          "'to' of operator act 1 names 'far', but [pool.app] has no such tier; it has 'primary', 'standby'",
          "'to' of operator act 2 names 'data compared', but [pool.app] has no such gate with an approval",
          "'serving' names 'p2', but [pool.app] has no such tier; it has 'primary', 'standby'"));
}

TEST(Mismatches, AnApprovalNeedsAGateOfThatName) {
  Scenario scenario;
  scenario.acts = {act_of(ActKind::approve, "data compared")};
  const std::string gates = "[pool.app.failover]\ngates = [{ approval = \"data compared\" }]\n";
  EXPECT_THAT(mismatches(scenario, config_of(two_tiers + gates)), IsEmpty());
}

TEST(Mismatches, OfThePoolComeAlone) {
  const std::string other = "[pool.other]\nprimary = [\"10.0.0.31:1\"]\n[[route]]\npool = \"app\"\n";
  Scenario scenario;
  scenario.faults = {fault_at("nowhere")};
  EXPECT_THAT(
      mismatches(scenario, config_of(two_tiers + other)),
      ElementsAre("the configuration has 2 pools; say which with 'pool' at the top of the scenario, as in pool = "
                  "\"app\""));
  scenario.pool = "othr";
  EXPECT_THAT(mismatches(scenario, config_of(two_tiers + other)),
              ElementsAre("'pool' names 'othr', which the configuration does not have; did you mean 'other'?"));
}

TEST(Mismatches, NoMoveIsExpectedOfOneTier) {
  Scenario scenario;
  scenario.expect.least_moves = 1;
  EXPECT_THAT(mismatches(scenario, config_of("[pool.app]\nprimary = [\"10.0.0.11:3000\"]\n")),
              ElementsAre("a move is expected, but [pool.app] has one tier only"));
}

// ---- what is shipped

std::vector<std::string> drill_names() {
  std::vector<std::string> names;
  for (const std::string& file : shipped())
    names.push_back(std::filesystem::relative(file, root + "/deploy/drills").replace_extension().string());
  return names;
}

class Drill : public testing::TestWithParam<std::string> {};

TEST_P(Drill, LoadsAndFitsItsConfiguration) {
  const std::string path = root + "/deploy/drills/" + GetParam() + ".toml";
  const Scenario scenario = good(read_all(path), path);
  EXPECT_FALSE(scenario.proves.empty());
  ASSERT_TRUE(std::filesystem::exists(scenario.config)) << scenario.config;
  const std::string text = read_all(scenario.config);
  const LoadResult config = load(text, scenario.config, test_context());
  EXPECT_EQ(render(config.diagnostics, text), "");
  ASSERT_TRUE(config.config);
  EXPECT_THAT(mismatches(scenario, *config.config), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Files, Drill, testing::ValuesIn(drill_names()), [](const auto& one) {
  std::string name = one.param;
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
});

TEST(DrillConfigs, AreAllUsed) {
  std::set<std::string> used;
  for (const std::string& file : shipped())
    used.insert(std::filesystem::path(good(read_all(file), file).config).filename().string());
  for (const std::string& file : files_of("deploy/drills/configs"))
    EXPECT_TRUE(used.count(std::filesystem::path(file).filename().string())) << file;
}

TEST(LiveDrills, ThatAreShippedCanBeRunLive) {
  const std::vector<std::string> files = files_of("deploy/drills/live");
  EXPECT_GE(files.size(), 2U);
  for (const std::string& file : files) {
    const std::string text = read_all(file);
    EXPECT_EQ(render(load_scenario(text, file, Rung::live).diagnostics, text), "") << file;
  }
}

}  // namespace
}  // namespace understudy::config
