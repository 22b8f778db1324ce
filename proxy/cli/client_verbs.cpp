#include "proxy/cli/client_verbs.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <ostream>

#include "proxy/admin/describe_incident.hpp"
#include "proxy/admin/drill_text.hpp"
#include "proxy/admin/message.hpp"
#include "proxy/admin/status_text.hpp"

namespace understudy::cli {
namespace {

namespace json = boost::json;

struct Question {
  std::string method = "GET";
  std::string path;
  json::object body;
};

std::string state_path(const Arguments& arguments) {
  const std::string endpoint = admin::percent_encode(arguments.endpoint);
  std::string path = "/api/v1";
  if (!arguments.pool.empty()) path.append("/pools/").append(admin::percent_encode(arguments.pool));
  return path.append("/endpoints/").append(endpoint).append("/state");
}

Question question_of(const Arguments& arguments) {
  const auto change = [](std::string path, json::object body = {}) {
    return Question{"POST", std::move(path), std::move(body)};
  };
  json::object body;
  if (!arguments.duration.empty()) body["for"] = arguments.duration;
  if (!arguments.reason.empty()) body["reason"] = arguments.reason;
  if (arguments.expected_epoch) body["expected_epoch"] = *arguments.expected_epoch;
  if (arguments.verb != Verb::set_state) body["pool"] = arguments.pool;
  switch (arguments.verb) {
    case Verb::reload: return change("/api/v1/reload");
    case Verb::logs_reopen: return change("/api/v1/logs/reopen");
    case Verb::stop: return change("/api/v1/stop", {{"now", arguments.now}});
    case Verb::failback: return change("/api/v1/failback", std::move(body));
    case Verb::failover:
      if (!arguments.tier.empty()) body["to"] = arguments.tier;
      return change("/api/v1/failover", std::move(body));
    case Verb::hold: return change("/api/v1/hold", std::move(body));
    case Verb::release: return change("/api/v1/release", std::move(body));
    case Verb::approve:
      body["gate"] = arguments.gate;
      body["who"] = arguments.who;
      return change("/api/v1/approve", std::move(body));
    case Verb::maintenance: body["on"] = arguments.on; return change("/api/v1/maintenance", std::move(body));
    case Verb::set_state: body["state"] = arguments.state; return change(state_path(arguments), std::move(body));
    case Verb::events: return {"GET", std::string("/api/v1/events?since=").append(std::to_string(arguments.since)), {}};
    case Verb::incidents: return {"GET", "/api/v1/incidents", {}};
    case Verb::drill_history: return {"GET", "/api/v1/drills/history", {}};
    case Verb::incident_show:
      return {"GET",
              "/api/v1/incidents/" + std::to_string(arguments.number) +
                  (arguments.json       ? ""
                   : arguments.markdown ? "?format=markdown"
                                        : "?format=text"),
              {}};
    case Verb::alert_test: return change("/api/v1/alerts/" + admin::percent_encode(arguments.alert) + "/test");
    case Verb::healthcheck: return {"GET", arguments.ready ? "/readyz?verbose" : "/livez", {}};
    default: return {"GET", "/api/v1/status", {}};
  }
}

std::string lines_printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    out.append(admin::printable(text.substr(0, end))).append("\n");
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string member(const json::value& value, std::string_view key) {
  const auto* object = value.if_object();
  const auto* found = object ? object->if_contains(key) : nullptr;
  const auto* text = found ? found->if_string() : nullptr;
  return text ? std::string(text->data(), text->size()) : std::string{};
}

void print_problem(const admin::Answer& answer, std::ostream& err) {
  json::error_code error;
  const json::value value = json::parse(answer.body, error);
  const std::string title = error ? "" : member(value, "title"), detail = error ? answer.body : member(value, "detail");
  err << "understudy: refused (" << answer.status << ")";
  if (!title.empty()) err << ": " << admin::printable(title);
  err << "\n" << lines_printable(detail);
}

void print_list(const json::value& reply, std::string_view key, std::string_view before, std::string_view after,
                std::ostream& out) {
  const auto* object = reply.if_object();
  const auto* list = object ? object->if_contains(key) : nullptr;
  if (!list || !list->is_array()) return;
  for (const json::value& item : list->get_array()) {
    if (const auto* text = item.if_string())
      out << before << admin::printable({text->data(), text->size()}) << after << "\n";
  }
}

// Shows the pools that have this endpoint; false when none has.
bool print_pools_with(const json::value& pools, const std::string& endpoint, std::chrono::system_clock::time_point now,
                      std::ostream& out) {
  bool any = false;
  const auto list = [](const json::value& from, const char* key) {
    const auto* object = from.if_object();
    const auto* found = object ? object->if_contains(key) : nullptr;
    return found && found->is_array() ? found->get_array() : json::array{};
  };
  for (const json::value& pool : list(pools, "pools")) {
    bool has = false;
    for (const json::value& tier : list(pool, "tiers")) {
      for (const json::value& one : list(tier, "endpoints")) {
        has = has || member(one, "label") == endpoint || member(one, "address") == endpoint;
      }
    }
    if (has) out << admin::pool_text(pool, now);
    any = any || has;
  }
  return any;
}

// The reply of a pool's verb is the pool (all pools where an endpoint was named without its pool); of a
// process verb {"result": …, "warnings": […], "needs_restart": […]}.
void print_reply(const Arguments& arguments, const json::value& reply, std::chrono::system_clock::time_point now,
                 std::ostream& out) {
  const auto* object = reply.if_object();
  if (object && object->contains("tiers")) {
    out << admin::pool_text(reply, now);
    return;
  }
  if (print_pools_with(reply, arguments.endpoint, now, out)) return;
  const std::string result = member(reply, "result");
  out << lines_printable(result.empty() ? "done" : result);
  print_list(reply, "warnings", "warning: ", "", out);
  print_list(reply, "needs_restart", "note: ", " changes only with a restart", out);
}

int print_answer(const Arguments& arguments, const admin::Answer& answer, std::chrono::system_clock::time_point now,
                 std::ostream& out, std::ostream& err) {
  if (arguments.json) {
    out << answer.body << (answer.body.ends_with('\n') ? "" : "\n");
    return 0;
  }
  if (arguments.verb == Verb::incident_show) {  // Markdown: lines that can hold no control bytes
    out << lines_printable(answer.body);
    return 0;
  }
  json::error_code error;
  const json::value value = json::parse(answer.body, error);
  if (error) {
    err << "understudy: the answer is no JSON; is this address another program's?\n";
    return 1;
  }
  if (arguments.verb == Verb::status) {
    out << admin::status_text(value, now);
  } else if (arguments.verb == Verb::events) {
    const std::string text = admin::events_text(value);
    out << (text.empty() ? "no events\n" : text);
  } else if (arguments.verb == Verb::incidents) {
    const std::string text = admin::incidents_text(value);
    out << (text.empty() ? "no incidents\n" : text);
  } else if (arguments.verb == Verb::drill_history) {
    const std::string text = admin::drill_history_text(value);
    out << (text.empty() ? "no drills\n" : text);
  } else {
    print_reply(arguments, value, now, out);
  }
  return 0;
}

}  // namespace

int run_client_verb(const Arguments& arguments, const Daemon& daemon, std::chrono::system_clock::time_point now,
                    std::ostream& out, std::ostream& err) {
  admin::ClientOptions options;
  options.address = daemon.address;
  options.token = daemon.token;
  if (arguments.verb == Verb::reload) options.answer_timeout = std::chrono::seconds(125);  // the daemon gives up at 120
  if (arguments.verb == Verb::alert_test)
    options.answer_timeout = std::chrono::seconds(65);  // an attempt ends after 60
  const Question question = question_of(arguments);
  const auto result = admin::Client(options).request(question.method, question.path, json::serialize(question.body));
  const bool health = arguments.verb == Verb::healthcheck;
  if (const auto* gone = std::get_if<admin::NotReachable>(&result)) {
    err << "understudy: " << gone->why << "\n";
    if (!health) err << "Is it running? Name its admin address with --admin (quick and demo: 127.0.0.1:9900).\n";
    return health ? 1 : 3;
  }
  const auto& answer = std::get<admin::Answer>(result);
  if (health) {
    (answer.status == 200 ? out : err) << lines_printable(answer.body);
    return answer.status == 200 ? 0 : 1;
  }
  if (answer.status < 200 || answer.status >= 300) {
    print_problem(answer, err);
    return 1;
  }
  return print_answer(arguments, answer, now, out, err);
}

}  // namespace understudy::cli
