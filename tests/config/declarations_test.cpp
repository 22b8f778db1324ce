// Everything that is made from the key declarations agrees with them.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>

#include "config/document.hpp"
#include "config/keys.hpp"
#include "config/reader.hpp"
#include "tests/config/json_schema.hpp"
#include "tests/config/model_fields.hpp"
#include "tests/config/support.hpp"
#include "tests/support/source_dir.hpp"

namespace understudy::config {
namespace {

const std::string root = understudy::support::source_dir();

std::vector<std::string> good_files() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(root + "/tests/config/good"))
    files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

LoadResult load_good(const std::string& path) {
  const std::string text = read_all(path);
  LoadResult result = load_text(text);
  EXPECT_TRUE(result.config) << path << "\n" << render(result.diagnostics, text);
  return result;
}

TEST(Reference, IsNotStale) {
  const std::string path = root + "/config/reference.md";
  if (regenerating()) std::ofstream(path, std::ios::binary) << reference_page();
  EXPECT_EQ(read_all(path), reference_page()) << "run with UNDERSTUDY_REGENERATE=1";
}

TEST(Declarations, EveryKeyIsDescribedOnceAndHasAnExample) {
  for (const Section* section : all_sections()) {
    EXPECT_FALSE(section->help.empty()) << section->id;
    std::set<std::string> names;
    for (const Key& key : section->keys) {
      EXPECT_TRUE(names.insert(key.name).second) << section->id << "." << key.name;
      EXPECT_TRUE(std::regex_match(key.name, std::regex("[a-z][a-z0-9_]*"))) << key.name;
      EXPECT_FALSE(key.spec.help.empty()) << section->id << "." << key.name;
      EXPECT_TRUE(key.open || !key.spec.example.empty()) << section->id << "." << key.name;
      EXPECT_EQ(key.type == Type::choice, !key.choices.empty()) << key.name;
      EXPECT_EQ(key.type == Type::mixed, !key.schema.empty()) << key.name;
    }
  }
}

TEST(Declarations, EveryKeyIsInTheReferenceAndTheSchema) {
  const std::string page = reference_page();
  const JsonValue schema = parse_json(json_schema());
  for (const Section* section : all_sections()) {
    EXPECT_NE(page.find("## `" + section->header + "`"), std::string::npos) << section->header;
    const JsonValue* properties = schema.at({"definitions", section->id, "properties"});
    ASSERT_NE(properties, nullptr) << section->id;
    EXPECT_EQ(properties->members.size(), section->keys.size()) << section->id;
    for (const Key& key : section->keys) {
      EXPECT_NE(page.find("\n| `" + key.name + "` | "), std::string::npos) << key.name;
      EXPECT_NE(properties->at({key.name}), nullptr) << section->id << "." << key.name;
    }
  }
}

// A key's example is a value that it takes, alone in its table or with what it needs.
TEST(Declarations, EveryExampleIsReadWithoutAComplaint) {
  const LoadContext context = test_context();
  const std::string file = "understudy.toml";
  for (const Section* section : all_sections()) {
    for (const Key& key : section->keys) {
      if (key.open) continue;
      const std::string text = key.name + " = " + std::string(key.spec.example) + "\n";
      Diagnostic failure;
      auto document = parse_document(text, file, failure);
      ASSERT_TRUE(document) << text << failure.message;
      Reader reader(file, context);
      reader.expand(*document);
      Config config;
      config.alerts.emplace_back();
      config.drills.emplace_back();
      config.listeners.emplace_back();
      config.pools.emplace_back();
      config.routes.emplace_back();
      const std::map<std::string, void*> objects{{"server", &config.server},
                                                 {"admin", &config.admin},
                                                 {"log", &config.log},
                                                 {"log.access", &config.log},
                                                 {"dns", &config.dns},
                                                 {"incidents", &config.incidents},
                                                 {"alert", &config.alerts[0]},
                                                 {"drill", &config.drills[0]},
                                                 {"listen", &config.listeners[0]},
                                                 {"listen.limits", &config.listeners[0].limits},
                                                 {"pool", &config.pools[0]},
                                                 {"pool.check", &config.pools[0].check},
                                                 {"pool.passive", &config.pools[0].passive},
                                                 {"pool.degraded", &config.pools[0].degraded},
                                                 {"pool.failover", &config.pools[0].failover},
                                                 {"pool.retry", &config.pools[0].retry},
                                                 {"pool.openings", &config.pools[0].openings},
                                                 {"sticky", &config.pools[0].sticky},
                                                 {"route", &config.routes[0]},
                                                 {"match", &config.routes[0].match},
                                                 {"headers", &config.routes[0].request_headers},
                                                 {"websocket", &config.routes[0].websocket}};
      CertificateFiles certificate;
      EndpointConfig endpoint;
      GateConfig gate;
      FitnessConfig fitness;
      CompareConfig compare;
      TierConfig tier;
      UpstreamTls tls;
      RedirectConfig redirect;
      RespondConfig respond;
      const std::map<std::string, void*> more{
          {"certificate", &certificate}, {"endpoint", &endpoint}, {"gate", &gate},    {"fitness", &fitness},
          {"compare", &compare},         {"tier", &tier},         {"pool.tls", &tls}, {"redirect", &redirect},
          {"respond", &respond}};
      void* object = objects.count(section->id) != 0 ? objects.at(section->id) : more.at(section->id);
      const std::string path = section->id + "." + key.name;
      const std::string usual = default_text(*section, key);
      key.read(reader, document->members[0].value, Spot{path, section->header, key.name}, object);
      EXPECT_EQ(render(reader.take_diagnostics(), text), "");
      const std::string shown = key.write(object);
      // These show only beside another key, or their only value is the default.
      static const std::set<std::string> not_alone{"pool.hash_on",
                                                   "pool.standby",
                                                   "pool.check.tcp",
                                                   "pool.check.host",
                                                   "pool.check.expect",
                                                   "pool.check.body",
                                                   "pool.check.doubt",
                                                   "pool.check.agent_send",
                                                   "pool.check.agent_header",
                                                   "gate.name",
                                                   "websocket.park_timeout",
                                                   "websocket.park_buffer",
                                                   "websocket.replay_first"};
      if (not_alone.count(path) != 0) continue;
      EXPECT_FALSE(shown.empty()) << path;
      EXPECT_NE(shown, usual) << path << ": an example that is the default shows nothing";
    }
  }
}

TEST(Show, HasEveryKey) {
  std::string all;
  for (const std::string& path : good_files()) all += show(load_good(path), true);
  for (const Section* section : all_sections()) {
    for (const Key& key : section->keys) {
      const std::regex line("(^|[\\n{, \\[])(# )?\\[?[a-z.\"]*" + key.name + "( =|\\]|\\n| +#)");
      EXPECT_TRUE(std::regex_search(all, line)) << section->id << "." << key.name;
    }
  }
}

TEST(Show, LoadsAgainToTheSameModel) {
  for (const std::string& path : good_files()) {
    LoadResult first = load_good(path);
    ASSERT_TRUE(first.config);
    for (const bool with_defaults : {true, false}) {
      const std::string text = show(first, with_defaults);
      LoadResult second = load_text(text);
      ASSERT_TRUE(second.config) << path << "\n" << render(second.diagnostics, text) << text;
      Config expected = *first.config;
      if (expected.admin.token) expected.admin.token->value = "***";
      for (AlertConfig& alert : expected.alerts)
        if (alert.secret) alert.secret->value = "***";
      EXPECT_EQ(dump(*second.config), dump(expected)) << path << "\n" << text;
    }
  }
}

TEST(Show, WithoutDefaultsIsWhatWasWritten) {
  const LoadResult result = load_good(root + "/tests/config/good/five_lines.toml");
  EXPECT_EQ(show(result, false),
            "[listen.web]\naddress = \":8080\"\n\n[pool.app]\nprimary = [\"10.0.0.11:3000\", "
            "\"10.0.0.12:3000\"]\nstandby = [\"10.0.1.11:3000\"]\n\n[[route]]\npool = \"app\"\n");
}

TEST(Show, NeverPrintsASecret) {
  const std::string shown = show(load_good(root + "/tests/config/good/everything.toml"), true);
  EXPECT_EQ(shown.find("canary"), std::string::npos);
  EXPECT_NE(shown.find("token = \"***\""), std::string::npos);
}

TEST(Show, OfARefusedFileIsNothing) { EXPECT_EQ(show(load_text("x = 1"), true), ""); }

std::string without_indexes(std::string line) {
  line = std::regex_replace(line, std::regex("\\[[0-9]+\\]"), "[]");
  return line;
}

// Each field of the model takes, somewhere in everything.toml, a value other than its default: so each has a
// key.
TEST(Everything, GivesEveryFieldAnotherValue) {
  const LoadResult result = load_good(root + "/tests/config/good/everything.toml");
  ASSERT_TRUE(result.config);
  Config usual;
  usual.listeners.emplace_back().tls.emplace().certificates.emplace_back();
  usual.listeners[0].trusted_proxies.emplace_back();
  PoolConfig& pool = usual.pools.emplace_back();
  pool.tls.emplace();
  pool.tiers.emplace_back().endpoints.emplace_back();
  pool.failover.gates.emplace_back().command.emplace_back();
  RouteConfig& route = usual.routes.emplace_back();
  route.redirect.emplace();
  route.respond.emplace();
  route.request_headers.emplace_back();
  std::map<std::string, std::set<std::string>> defaults;
  for (const std::string& line : dump(usual)) {
    const std::string plain = without_indexes(line);
    defaults[plain.substr(0, plain.find(" = "))].insert(plain);
  }
  std::map<std::string, bool> changed;
  for (const auto& [path, values] : defaults) changed[path] = false;
  for (const std::string& line : dump(*result.config)) {
    const std::string plain = without_indexes(line);
    const std::string path = plain.substr(0, plain.find(" = "));
    if (defaults.count(path) != 0 && defaults[path].count(plain) == 0) changed[path] = true;
  }
  for (const auto& [path, is_changed] : changed)
    EXPECT_TRUE(is_changed) << path << " has no key, or no value in everything.toml";
}

TEST(Schema, AcceptsEveryGoodFile) {
  const JsonSchema schema(json_schema());
  for (const std::string& path : good_files()) {
    Diagnostic failure;
    const auto document = parse_document(read_all(path), path, failure);
    ASSERT_TRUE(document) << path;
    EXPECT_EQ(schema.complain(*document), "") << path;
  }
  Diagnostic failure;
  EXPECT_EQ(schema.complain(*parse_document(starter_file(), "starter", failure)), "");
}

TEST(Schema, RefusesWhatTheLoaderRefusesByItsShape) {
  const JsonSchema schema(json_schema());
  for (const char* name : {"boolean_bad",
                           "choice_bad",
                           "choice_wrong_type",
                           "duration_bad",
                           "duration_needs_unit",
                           "duration_worse",
                           "integer_bad",
                           "list_bad",
                           "missing_address_and_weight_bounds",
                           "name_without_table",
                           "names_with_odd_characters",
                           "network_not_an_array",
                           "rate_bad",
                           "share_bad",
                           "size_bad",
                           "sticky_bad",
                           "table_expected",
                           "text_bad",
                           "tiers_bad",
                           "unknown_key_near",
                           "unknown_key_in_endpoint",
                           "unknown_table",
                           "unknown_top_key",
                           "route_websocket_bad",
                           "route_as_array_of_texts",
                           "endpoints_not_an_array",
                           "hash_rules",
                           "failover_bad",
                           "check_bad_values",
                           "degraded_bad",
                           "gates_bad",
                           "route_redirect_bad"}) {
    const std::string path = root + "/tests/config/cases/" + name + ".toml";
    Diagnostic failure;
    const auto document = parse_document(read_all(path), path, failure);
    ASSERT_TRUE(document) << path;
    EXPECT_NE(schema.complain(*document), "") << path;
  }
}

}  // namespace
}  // namespace understudy::config
