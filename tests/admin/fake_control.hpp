// A control plane that remembers what it was asked and answers from what the test put in.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "proxy/admin/control_plane.hpp"
#include "proxy/admin/describe_incident.hpp"

namespace understudy::admin {

struct FakeControl : ControlPlane {
  struct Asked {
    health::Command command;
    std::string pool, who;
  };
  std::vector<Asked> commands;
  std::vector<bool> stops;
  std::uint64_t since = 0;
  int reloads = 0, checks = 0, reopens = 0;
  bool ready = true, alive = true, throws = false;
  bool openmetrics = false;
  std::size_t metrics_bytes = 0;
  std::function<void(Reply)> pending_reload;
  bool reload_later = false;
  std::optional<Problem> refusal;
  std::optional<Problem> no_changes, no_lasting_changes;
  std::optional<Problem> refuses_changes(bool lasting) override { return lasting ? no_lasting_changes : no_changes; }
  boost::json::value pools_answer = boost::json::object{{"pools", boost::json::array{"app"}}};

  Readiness livez() override { return {alive, "control thread: ok\n"}; }
  Readiness readyz() override { return {ready, ready ? "pool app: ok\n" : "pool app: no endpoint available\n"}; }
  std::string metrics(bool open) override {
    openmetrics = open;
    return metrics_bytes ? std::string(metrics_bytes, 'm') : "understudy_up 1\n";
  }
  boost::json::value status() override {
    if (throws) throw std::runtime_error("disk on fire");
    return boost::json::object{
        {"sentence", "pool app serves from primary"}, {"state", "ok"}, {"pools", boost::json::array{}}};
  }
  boost::json::value pools() override { return pools_answer; }
  Reply pool(const std::string& name) override {
    if (name == "app") return boost::json::value(boost::json::object{{"name", name}, {"tiers", boost::json::array{}}});
    return Problem{404, "no such pool", "no pool '" + name + "'; pools: app"};
  }
  boost::json::value events(std::uint64_t from) override {
    since = from;
    return boost::json::object{{"events", boost::json::array{}}, {"next", from}};
  }
  boost::json::value incidents() override {
    return boost::json::object{{"incidents", boost::json::array{describe_incident(one_incident())}}};
  }
  void incident(std::uint64_t number, std::function<void(IncidentReply)> answer) override {
    if (number == 12) return answer(one_incident());
    answer(Problem{404, "no such incident", "no incident " + std::to_string(number)});
  }
  boost::json::value alerts() override { return boost::json::object{{"alerts", boost::json::array{}}}; }
  void test_alert(const std::string& name, std::function<void(Reply)> answer) override {
    if (name != "ops") return answer(Problem{404, "no such alert", "no alert '" + name + "'; alerts: ops"});
    answer(done("delivered"));
  }
  Reply begin_drill(const std::string& scenario, const std::string& file, const std::string& who) override {
    drill_asked = {scenario, file, who};
    if (refusal) return *refusal;
    return drill(7);
  }
  Reply renew_drill(std::uint64_t id) override { return ++renewals, drill(id); }
  Reply stop_drill(std::uint64_t id, const std::string& reason, const std::string&) override {
    drill_stopped = reason;
    return drill(id);
  }
  Reply drill(std::uint64_t id) override {
    if (id != 7) return Problem{404, "no such drill", "there is no drill " + std::to_string(id)};
    return boost::json::value(boost::json::object{{"id", id}, {"state", "running"}});
  }
  boost::json::value drills() override { return boost::json::object{{"drills", boost::json::array{}}}; }
  boost::json::value drill_history() override {
    return boost::json::object{{"history", boost::json::array{}}, {"duties", boost::json::array{}}};
  }
  std::vector<std::string> drill_asked;
  std::string drill_stopped;
  int renewals = 0;
  static incident::Incident one_incident() {
    using std::chrono::milliseconds;
    const incident::Wall began(milliseconds(1'764'151'445'250));
    incident::Incident out;
    incident::Opened opened;
    opened.pool = "app";
    opened.began = began;
    opened.detected = began + milliseconds(1200);
    opened.tier = "primary";
    opened.tiers = {"primary", "standby"};
    apply(out, {12, opened});
    incident::Entry moved;
    moved.kind = incident::Entry::Kind::action;
    moved.event = "failover";
    moved.at = moved.since = began + milliseconds(1500);
    moved.tier = "standby";
    moved.text = "moved <b>because</b> | of p1";
    moved.who = "anna";
    apply(out, {12, moved});
    apply(out, {12, incident::Sample{began, milliseconds(1000), {.requests = 100, .failed = 7}, {}, {}}});
    return out;
  }
  boost::json::value config() override { return boost::json::object{{"admin", "***"}}; }
  boost::json::value version() override { return boost::json::object{{"version", "0.1.0"}}; }
  void reload(std::function<void(Reply)> done) override {
    ++reloads;
    if (reload_later) {
      pending_reload = std::move(done);
    } else if (refusal) {
      done(*refusal);
    } else {
      done(boost::json::value(boost::json::object{{"result", "reloaded"},
                                                  {"warnings", boost::json::array{"f:3: careful"}},
                                                  {"needs_restart", boost::json::array{"server.workers"}}}));
    }
  }
  Reply command(const health::Command& command, const std::string& pool, const std::string& who) override {
    commands.push_back({command, pool, who});
    if (refusal) return *refusal;
    if (pool.empty()) return pools_answer;
    return boost::json::value(
        boost::json::object{{"name", pool}, {"active", "standby"}, {"tiers", boost::json::array{}}});
  }
  void check_config(std::function<void(Reply)> answer) override {
    ++checks;
    answer(done("the file is good"));
  }
  Reply reopen_logs() override { return ++reopens, done("reopened"); }
  Reply stop(bool now) override { return stops.push_back(now), done("stopping"); }

private:
  static Reply done(const char* message) { return boost::json::value(boost::json::object{{"result", message}}); }
};

}  // namespace understudy::admin
