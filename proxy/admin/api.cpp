#include "proxy/admin/api.hpp"

#include <array>
#include <charconv>
#include <exception>

#include "config/suggest.hpp"
#include "config/units.hpp"
#include "proxy/admin/access.hpp"
#include "health/incident/report.hpp"
#include "proxy/admin/command_body.hpp"
#include "proxy/admin/describe_incident.hpp"
#include "proxy/admin/status_text.hpp"
#include "proxy/observe/exposition.hpp"

namespace understudy::admin {
namespace {

using Segments = std::vector<std::string>;  // what the pattern's {} stood for
using Done = std::function<void(Response)>;

struct Call {
  ControlPlane& control;
  const Request& request;
  std::string_view body;
  const std::string& who;
  const Segments& names;
};

struct Route {
  std::string_view method;  // "GET" (HEAD too) or "POST"
  std::string_view pattern;
  void (*answer)(const Call& call, const Done& done);
  bool lasting = true;  // of a POST: ControlPlane::refuses_changes
};
constexpr bool kHereAndNow = false;

// ---- reads

void health_answer(const Call& call, const Done& done, const Readiness& readiness) {
  const bool verbose = call.request.query_value("verbose").has_value();
  std::string text = verbose || !readiness.ready ? readiness.lines : std::string{};
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  if (readiness.ready) text += "ok\n";
  done(text_response(readiness.ready ? 200 : 503, std::move(text)));
}

void livez(const Call& call, const Done& done) { health_answer(call, done, call.control.livez()); }
void readyz(const Call& call, const Done& done) { health_answer(call, done, call.control.readyz()); }

void metrics(const Call& call, const Done& done) {
  const auto format = observe::Exposition::negotiate(call.request.field("accept"));
  Response response;
  response.body = call.control.metrics(format == observe::Exposition::Format::openmetrics);
  response.content_type = observe::Exposition::content_type(format);
  response.fields.emplace_back("Vary", "Accept");
  done(std::move(response));
}

void front_page(const Call& call, const Done& done) {
  done(text_response(200, status_text(call.control.status(), std::chrono::system_clock::now()) +
                              "\nmore: /api/v1/status /api/v1/pools /api/v1/events /api/v1/incidents /api/v1/drills "
                              "/api/v1/config /api/v1/version "
                              "/metrics /livez /readyz\n"));
}

void status(const Call& call, const Done& done) { done(json_response(call.control.status())); }
void pools(const Call& call, const Done& done) { done(json_response(call.control.pools())); }
void pool(const Call& call, const Done& done) { done(reply_response(call.control.pool(call.names[0]))); }
void config(const Call& call, const Done& done) { done(json_response(call.control.config())); }
void version(const Call& call, const Done& done) { done(json_response(call.control.version())); }

void events(const Call& call, const Done& done) {
  std::uint64_t since = 0;
  if (const auto text = call.request.query_value("since")) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), since);
    if (error != std::errc{} || end != text->data() + text->size()) {
      return done(problem_response({400, "bad 'since'", "since must be the number of an event, as in ?since=12"}));
    }
  }
  done(json_response(call.control.events(since)));
}

void incidents(const Call& call, const Done& done) { done(json_response(call.control.incidents())); }

void alerts(const Call& call, const Done& done) { done(json_response(call.control.alerts())); }

// False after a path that names none was answered.
bool read_number(const Call& call, const Done& done, std::uint64_t& number) {
  const std::string& text = call.names[0];
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size()) return true;
  done(problem_response({400, "bad number", "it is named by its number, as in /api/v1/drills/12"}));
  return false;
}

void drills(const Call& call, const Done& done) { done(json_response(call.control.drills())); }
void drill_history(const Call& call, const Done& done) { done(json_response(call.control.drill_history())); }
void drill_of(const Call& call, const Done& done) {
  std::uint64_t number = 0;
  if (read_number(call, done, number)) done(reply_response(call.control.drill(number)));
}

// As JSON, or as Markdown (?format=markdown; =text leaves the charts out).
void incident_of(const Call& call, const Done& done) {
  std::uint64_t number = 0;
  const std::string& text = call.names[0];
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size())
    return done(
        problem_response({400, "bad number", "an incident is named by its number, as in /api/v1/incidents/12"}));
  const std::string format(call.request.query_value("format").value_or("json"));
  if (format != "json" && format != "markdown" && format != "text")
    return done(problem_response({400, "bad 'format'", "format must be json, markdown or text"}));
  call.control.incident(number, [done, format](const IncidentReply& reply) {
    if (const auto* problem = std::get_if<Problem>(&reply)) return done(problem_response(*problem));
    const auto& incident = std::get<incident::Incident>(reply);
    if (format == "json") return done(json_response(describe_whole_incident(incident)));
    Response response = text_response(
        200, markdown(incident, format == "markdown" ? incident::Charts::with : incident::Charts::without));
    response.content_type = "text/markdown; charset=utf-8";
    done(std::move(response));
  });
}

// ---- changes

constexpr BodyKey kPool{"pool", BodyKey::Type::text, true};
constexpr BodyKey kOn{"on", BodyKey::Type::boolean, true};
constexpr BodyKey kFor{"for", BodyKey::Type::text, false};
constexpr BodyKey kReason{"reason", BodyKey::Type::text, false};
constexpr BodyKey kExpectedEpoch{"expected_epoch", BodyKey::Type::number, false};

// The body, or nullopt after its problem was answered.
std::optional<CommandBody> read_body(const Call& call, const Done& done, std::initializer_list<BodyKey> keys) {
  auto read = CommandBody::read(call.body, std::span<const BodyKey>(keys.begin(), keys.size()));
  if (const auto* problem = std::get_if<Problem>(&read)) {
    done(problem_response(*problem));
    return std::nullopt;
  }
  return std::get<CommandBody>(std::move(read));
}

// False after a bad `for` was answered.
bool read_expiry(const CommandBody& body, const Done& done, std::optional<health::TimePoint>& expires) {
  if (!body.has("for")) return true;
  std::string error;
  const auto length = parse_for(body.text("for"), &error);
  if (!length) {
    done(problem_response({422, "bad 'for'", "'for' " + error}));
    return false;
  }
  expires = std::chrono::steady_clock::now() + *length;
  return true;
}

void run_command(const Call& call, const Done& done, const health::Command& command, const std::string& pool_name) {
  Reply reply = call.control.command(command, pool_name, call.who);
  if (std::holds_alternative<Problem>(reply)) return done(reply_response(reply));
  // Whoever is told that it is done may rely on it, whatever becomes of the process.
  call.control.when_kept([done, reply = std::move(reply)](bool kept) mutable {
    auto* answer = std::get<boost::json::value>(reply).if_object();
    if (!kept && answer != nullptr) (*answer)["warning"] = "done, but not written to state_dir yet: see the log";
    done(reply_response(reply));
  });
}

void reload(const Call& call, const Done& done) {
  if (!read_body(call, done, {})) return;
  call.control.reload([done](const Reply& reply) { done(reply_response(reply)); });
}

void check(const Call& call, const Done& done) {
  if (read_body(call, done, {})) call.control.check_config([done](const Reply& reply) { done(reply_response(reply)); });
}

void reopen_logs(const Call& call, const Done& done) {
  if (read_body(call, done, {})) done(reply_response(call.control.reopen_logs()));
}

void stop(const Call& call, const Done& done) {
  const auto body = read_body(call, done, {{"now", BodyKey::Type::boolean, false}});
  if (body) done(reply_response(call.control.stop(body->flag("now"))));
}

void test_alert(const Call& call, const Done& done) {
  if (!read_body(call, done, {})) return;
  call.control.test_alert(call.names[0], [done](const Reply& reply) { done(reply_response(reply)); });
}

void failover(const Call& call, const Done& done) {
  const auto body = read_body(call, done, {kPool, {"to", BodyKey::Type::text, false}, kFor, kReason, kExpectedEpoch});
  if (!body) return;
  health::MoveTier move{.pool = body->text("pool"), .to = {}, .reason = body->text("reason")};
  move.expected_epoch = body->number("expected_epoch");
  if (body->has("to")) move.to = body->text("to");
  if (read_expiry(*body, done, move.expires)) run_command(call, done, move, move.pool);
}

void failback(const Call& call, const Done& done) {
  const auto body = read_body(call, done, {kPool, kReason, kExpectedEpoch});
  if (!body) return;
  const health::Failback command{body->text("pool"), body->text("reason"), body->number("expected_epoch")};
  run_command(call, done, command, command.pool);
}

void hold(const Call& call, const Done& done) {
  const auto body = read_body(call, done, {kPool, kFor, kReason, kExpectedEpoch});
  if (!body) return;
  health::HoldPool command{body->text("pool"), true, {}, body->text("reason"), body->number("expected_epoch")};
  if (read_expiry(*body, done, command.expires)) run_command(call, done, command, command.pool);
}

void release(const Call& call, const Done& done) {
  const auto body = read_body(call, done, {kPool, kReason, kExpectedEpoch});
  if (!body) return;
  const health::HoldPool command{body->text("pool"), false, {}, body->text("reason"), body->number("expected_epoch")};
  run_command(call, done, command, command.pool);
}

// `who` is whom the caller names; the audit line has besides where the call came from.
void approve(const Call& call, const Done& done) {
  const auto body = read_body(call, done,
                              {kPool,
                               {"gate", BodyKey::Type::text, true},
                               {"who", BodyKey::Type::text, true},
                               {"reason", BodyKey::Type::text, true},
                               kExpectedEpoch});
  if (!body) return;
  const health::Approve command{body->text("pool"), body->text("gate"), body->text("who"), body->text("reason"),
                                body->number("expected_epoch")};
  run_command(call, done, command, command.pool);
}

void maintenance(const Call& call, const Done& done) {
  const auto body = read_body(call, done, {kPool, kOn, kFor, kReason});
  if (!body) return;
  health::SetMaintenance command{body->text("pool"), body->flag("on"), {}, body->text("reason")};
  if (read_expiry(*body, done, command.expires)) run_command(call, done, command, command.pool);
}

void set_state(const Call& call, const Done& done, const std::string& pool_name, const std::string& endpoint) {
  const auto body = read_body(call, done, {{"state", BodyKey::Type::text, true}, kFor, kReason});
  if (!body) return;
  static constexpr std::array kStates = {health::OperatorState::enabled, health::OperatorState::draining,
                                         health::OperatorState::disabled, health::OperatorState::held};
  static constexpr std::array<std::string_view, 4> kWords = {"enabled", "draining", "disabled", "held"};
  const std::string word = body->text("state");
  for (std::size_t i = 0; i < kWords.size(); ++i) {
    if (kWords[i] != word) continue;
    health::SetEndpointState command{pool_name, endpoint, kStates[i], {}, body->text("reason")};
    if (read_expiry(*body, done, command.expires)) run_command(call, done, command, pool_name);
    return;
  }
  const auto near = config::nearest(word, {kWords.begin(), kWords.end()});
  done(problem_response({422, "bad 'state'",
                         "'state' must be enabled, draining, disabled or held" +
                             (near ? "; did you mean '" + *near + "'?" : std::string{})}));
}

void begin_drill(const Call& call, const Done& done) {
  const auto body =
      read_body(call, done, {{"scenario", BodyKey::Type::document, true}, {"file", BodyKey::Type::text, false}});
  if (!body) return;
  const std::string file = body->has("file") ? body->text("file") : "scenario.toml";
  done(reply_response(call.control.begin_drill(body->text("scenario"), file, call.who)));
}

void renew_drill(const Call& call, const Done& done) {
  std::uint64_t number = 0;
  if (read_number(call, done, number) && read_body(call, done, {}))
    done(reply_response(call.control.renew_drill(number)));
}

void stop_drill(const Call& call, const Done& done) {
  std::uint64_t number = 0;
  if (!read_number(call, done, number)) return;
  const auto body = read_body(call, done, {kReason});
  if (body) done(reply_response(call.control.stop_drill(number, body->text("reason"), call.who)));
}

void endpoint_of_pool(const Call& call, const Done& done) { set_state(call, done, call.names[0], call.names[1]); }
void endpoint_of_any(const Call& call, const Done& done) { set_state(call, done, {}, call.names[0]); }

// ---- the table

constexpr Route kRoutes[] = {
    {"GET", "/", front_page},
    {"GET", "/livez", livez},
    {"GET", "/readyz", readyz},
    {"GET", "/metrics", metrics},
    {"GET", "/api/v1/status", status},
    {"GET", "/api/v1/pools", pools},
    {"GET", "/api/v1/pools/{}", pool},
    {"GET", "/api/v1/events", events},
    {"GET", "/api/v1/incidents", incidents},
    {"GET", "/api/v1/incidents/{}", incident_of},
    {"GET", "/api/v1/alerts", alerts},
    {"GET", "/api/v1/drills", drills},
    {"GET", "/api/v1/drills/history", drill_history},
    {"GET", "/api/v1/drills/{}", drill_of},
    {"GET", "/api/v1/config", config},
    {"GET", "/api/v1/version", version},
    {"POST", "/api/v1/reload", reload},
    {"POST", "/api/v1/check", check, kHereAndNow},
    {"POST", "/api/v1/logs/reopen", reopen_logs, kHereAndNow},
    {"POST", "/api/v1/stop", stop, kHereAndNow},
    {"POST", "/api/v1/alerts/{}/test", test_alert, kHereAndNow},
    {"POST", "/api/v1/drill", begin_drill},
    {"POST", "/api/v1/drills/{}/renew", renew_drill, kHereAndNow},
    {"POST", "/api/v1/drills/{}/stop", stop_drill, kHereAndNow},
    {"POST", "/api/v1/failover", failover},
    {"POST", "/api/v1/failback", failback},
    {"POST", "/api/v1/hold", hold},
    {"POST", "/api/v1/release", release},
    {"POST", "/api/v1/approve", approve},
    {"POST", "/api/v1/maintenance", maintenance},
    {"POST", "/api/v1/pools/{}/endpoints/{}/state", endpoint_of_pool},
    {"POST", "/api/v1/endpoints/{}/state", endpoint_of_any},  // where the label is unique over all pools
};

// Splits off the first segment of a path that starts with '/'.
std::string_view take_segment(std::string_view& path) {
  path.remove_prefix(1);
  const std::size_t end = std::min(path.find('/'), path.size());
  const std::string_view segment = path.substr(0, end);
  path.remove_prefix(end);
  return segment;
}

bool match(std::string_view pattern, std::string_view path, Segments& names) {
  names.clear();
  while (!pattern.empty() && !path.empty()) {
    const std::string_view wanted = take_segment(pattern), given = take_segment(path);
    if (wanted == "{}") {
      auto name = percent_decode(given);
      if (!name || name->empty()) return false;
      names.push_back(std::move(*name));
    } else if (wanted != given) {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}

const Route* find_route(const Request& request, Segments& names) {
  if (!request.path.starts_with('/')) return nullptr;
  for (const Route& route : kRoutes) {
    if (match(route.pattern, request.path, names)) return &route;
  }
  return nullptr;
}

}  // namespace

std::optional<std::chrono::milliseconds> parse_for(std::string_view text, std::string* error) {
  static constexpr std::chrono::milliseconds kMost = std::chrono::hours(24 * 365);
  config::UnitError wrong;
  const auto length = config::parse_duration(text, &wrong);
  if (!length) {
    *error = wrong.problem + "; " + wrong.remedy;
    return std::nullopt;
  }
  if (*length <= std::chrono::milliseconds(0) || *length > kMost) {
    *error = "must be more than nothing and at most 8760h, as in \"30m\"";
    return std::nullopt;
  }
  return *length;
}

std::optional<Response> Api::refuse(const Request& request) const {
  Segments names;
  const Route* route = find_route(request, names);
  if (!route) {
    return problem_response({404, "no such path",
                             "the paths are listed at / and begin with /api/v1/, or are /metrics, "
                             "/livez and /readyz"});
  }
  const bool changes = route->method == "POST";
  const bool fits = changes ? request.method == "POST" : request.method == "GET" || request.method == "HEAD";
  if (!fits) {
    Response response = problem_response({405, "wrong method", "use " + std::string(route->method) + " for this path"});
    response.fields.emplace_back("Allow", changes ? "POST" : "GET, HEAD");
    return response;
  }
  if (!changes) {
    if (!request.has_body) return std::nullopt;
    return problem_response({400, "unexpected body", "a read takes no body"});
  }
  if (const auto problem = check_mutation(request)) return problem_response(*problem);
  return std::nullopt;
}

void Api::handle(const Request& request, std::string_view body, const std::string& who, const Done& done) {
  Segments names;
  const Route* route = find_route(request, names);
  if (!route) return done(problem_response({404, "no such path", "see /"}));
  try {
    if (route->method == "POST") {
      if (const auto refused = control_.refuses_changes(route->lasting)) {
        Response response = problem_response(*refused);
        if (refused->status == 503) response.fields.emplace_back("Retry-After", "1");
        return done(std::move(response));
      }
    }
    route->answer(Call{control_, request, body, who, names}, done);
  } catch (const std::exception& error) {
    done(problem_response({500, "internal error", std::string("the command failed unexpectedly: ") + error.what()}));
  }
}

}  // namespace understudy::admin
