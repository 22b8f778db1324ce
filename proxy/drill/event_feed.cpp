#include "proxy/drill/event_feed.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cstdlib>
#include <ctime>

#include "config/scenario.hpp"

namespace understudy::drill {

namespace json = boost::json;

namespace {

constexpr int kTurns = 8;  // of who answers, while two of them do

std::optional<health::Event::Kind> kind_of(const std::string& name) {
  const auto& kinds = config::event_kinds();
  const auto found = std::find(kinds.begin(), kinds.end(), name);
  if (found == kinds.end()) return std::nullopt;
  return static_cast<health::Event::Kind>(found - kinds.begin());
}

}  // namespace

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool is_true(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_bool() && value->get_bool();
}

double number_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_number() ? value->to_number<double>() : 0;
}

const json::array& list_of(const json::object& object, std::string_view key) {
  static const json::array none;
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_array() ? value->get_array() : none;
}

std::chrono::system_clock::time_point parse_time(const std::string& text) {
  std::tm utc{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::chrono::milliseconds part{0};
  if (rest != nullptr && *rest == '.') part = std::chrono::milliseconds(std::atoi(rest + 1));
  return std::chrono::system_clock::from_time_t(::timegm(&utc)) + part;
}

std::vector<std::string> alerts_since(const admin::ClientOptions& options, const std::string& pool,
                                      std::chrono::system_clock::time_point since) {
  std::vector<std::string> types;
  const auto result = admin::Client(options).request("GET", "/api/v1/alerts");
  const auto* answer = std::get_if<admin::Answer>(&result);
  if (answer == nullptr || answer->status != 200) return types;
  const json::value value = json::parse(answer->body);
  for (const json::value& one : list_of(value.as_object(), "alerts")) {
    const json::object& told = one.as_object();
    if (text_of(told, "pool") == pool && parse_time(text_of(told, "at")) >= since)
      types.push_back(text_of(told, "type"));
  }
  return types;
}

json::array incidents_since(const admin::ClientOptions& options, const std::string& pool,
                            std::chrono::system_clock::time_point since) {
  json::array out;
  const auto result = admin::Client(options).request("GET", "/api/v1/incidents");
  const auto* answer = std::get_if<admin::Answer>(&result);
  if (answer == nullptr || answer->status != 200) return out;
  const json::value value = json::parse(answer->body);
  for (const json::value& one : list_of(value.as_object(), "incidents")) {
    const json::object& incident = one.as_object();
    if (text_of(incident, "pool") == pool && parse_time(text_of(incident, "began")) >= since) out.push_back(incident);
  }
  return out;
}

std::vector<ProxyEvent> EventFeed::take(const admin::ClientOptions& options) {
  std::vector<ProxyEvent> events;
  json::value value;
  for (int turn = 0;; ++turn) {
    const std::uint64_t since = seen_[pid_];
    const auto result = admin::Client(options).request("GET", "/api/v1/events?since=" + std::to_string(since));
    const auto* answer = std::get_if<admin::Answer>(&result);
    if (answer == nullptr || answer->status != 200 || turn == kTurns) return events;
    value = json::parse(answer->body);
    pid_ = static_cast<pid_t>(number_of(value.as_object(), "pid"));
    if (seen_[pid_] >= since) break;  // else another one answered, which has told less than was left out
  }
  for (const json::value& one : list_of(value.as_object(), "events")) {
    const json::object& told = one.as_object();
    const auto id = told.at("id").to_number<std::uint64_t>();
    if (id <= seen_[pid_]) continue;
    seen_[pid_] = id;
    const auto kind = kind_of(text_of(told, "kind"));
    if (!kind) continue;
    ProxyEvent event{parse_time(text_of(told, "at")), {}};
    event.event.kind = *kind;
    event.event.pool = text_of(told, "pool");
    event.event.tier = text_of(told, "tier");
    event.event.endpoint = text_of(told, "endpoint");
    event.event.epoch = told.at("epoch").to_number<std::uint64_t>();
    event.event.reason = text_of(told, "reason");
    events.push_back(std::move(event));
  }
  return events;
}

}  // namespace understudy::drill
