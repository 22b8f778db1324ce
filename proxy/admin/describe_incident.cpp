#include "proxy/admin/describe_incident.hpp"

#include <boost/json/array.hpp>

#include "health/incident/words.hpp"
#include "proxy/admin/status_text.hpp"

namespace understudy::admin {

namespace json = boost::json;
using incident::Incident;
using incident::Wall;

namespace {

json::value time_of(const std::optional<Wall>& at) { return at ? json::value(incident::instant(*at)) : nullptr; }

json::value length_of(const Incident& incident, const std::optional<Wall>& at) {
  if (!at) return nullptr;
  return (*at - incident.opened.began).count();
}

json::object describe(const incident::Counts& counts) {
  json::object out;
  for (const incident::CountName& one : incident::kCounts) out[one.name] = counts.*one.member;
  return out;
}

json::array list_of(const std::vector<std::string>& texts) {
  json::array out;
  for (const std::string& text : texts) out.emplace_back(text);
  return out;
}

double ms(std::chrono::microseconds time) { return static_cast<double>(time.count()) / 1000; }

std::string member(const json::object& object, std::string_view key) {
  const json::value* found = object.if_contains(key);
  const json::string* text = found ? found->if_string() : nullptr;
  return text ? printable({text->data(), text->size()}) : std::string{};
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

}  // namespace

json::object describe_incident(const Incident& incident) {
  const std::optional<Wall> closed = incident.closed ? std::optional(incident.closed->at) : std::nullopt;
  return json::object{{"number", incident.number},
                      {"pool", incident.opened.pool},
                      {"drill", incident.opened.drill},
                      {"severity", incident::name_of(incident.severity)},
                      {"state", incident.open() ? (incident.returned ? "settling" : "open") : "closed"},
                      {"summary", incident::summary(incident)},
                      {"began", time_of(incident.opened.began)},
                      {"detected", time_of(incident.opened.detected)},
                      {"decided", time_of(incident.decided)},
                      {"moved", time_of(incident.moved)},
                      {"traffic_moved", time_of(incident.traffic_moved)},
                      {"verified", time_of(incident.verified)},
                      {"went_back", time_of(incident.went_back)},
                      {"returned", time_of(incident.returned)},
                      {"closed", time_of(closed)},
                      {"detect_ms", length_of(incident, incident.opened.detected)},
                      {"decide_ms", length_of(incident, incident.decided)},
                      {"shift_ms", length_of(incident, incident.traffic_moved)},
                      {"verify_ms", length_of(incident, incident.verified)},
                      {"return_ms", length_of(incident, incident.went_back)},
                      {"duration_ms", length_of(incident, incident.returned)},
                      {"moved_to", incident.moved_to},
                      {"diagnosis", incident.diagnosis},
                      {"verdict", incident.verdict},
                      {"relapses", incident.relapses},
                      {"restarts", incident.restarts},
                      {"epoch_before", incident.opened.epoch},
                      {"epoch", incident.epoch},
                      {"config", incident.configured},
                      {"counts", describe(incident.counts)}};
}

json::object describe_whole_incident(const Incident& incident) {
  json::object out = describe_incident(incident);
  out["tier"] = incident.opened.tier;
  out["tiers"] = list_of(incident.opened.tiers);
  out["config_before"] = incident.opened.config;
  out["version"] = incident.opened.version;
  out["closed_because"] = incident.closed ? incident.closed->text : std::string{};
  out["left_out"] = incident.closed ? incident.closed->left_out : 0;
  out["damaged_lines"] = incident.damaged;
  json::array entries;
  for (const incident::Entry& entry : incident.entries)
    entries.push_back(json::object{{"at", incident::instant(entry.at)},
                                   {"since", incident::instant(entry.since)},
                                   {"kind", incident::name_of(entry.kind)},
                                   {"event", entry.event},
                                   {"tier", entry.tier},
                                   {"endpoint", entry.endpoint},
                                   {"epoch", entry.epoch},
                                   {"cause", entry.cause},
                                   {"text", entry.text},
                                   {"who", entry.who},
                                   {"alternatives", list_of(entry.alternatives)}});
  out["entries"] = std::move(entries);
  json::array samples;
  for (const incident::Sample& sample : incident.samples) {
    json::object one = describe(sample.counts);
    one["from"] = incident::instant(sample.from);
    one["over_ms"] = sample.over.count();
    one["p50_ms"] = ms(sample.p50);
    one["p95_ms"] = ms(sample.p95);
    samples.push_back(std::move(one));
  }
  out["samples"] = std::move(samples);
  return out;
}

std::string incidents_text(const json::value& incidents) {
  const json::object* root = incidents.if_object();
  const json::value* list = root ? root->if_contains("incidents") : nullptr;
  if (!list || !list->is_array()) return {};
  std::string out;
  for (const json::value& item : list->get_array()) {
    const json::object* one = item.if_object();
    if (!one) continue;
    const json::value* number = one->if_contains("number");
    std::string began = member(*one, "began").substr(0, 19);
    if (began.size() > 10) began[10] = ' ';
    out += padded(number && number->is_number() ? std::to_string(number->to_number<std::uint64_t>()) : "?", 6) +
           padded(began, 21) + padded(member(*one, "state"), 10) + padded(member(*one, "severity"), 10) +
           (member(*one, "drill").empty() ? "" : "[drill] ") + member(*one, "summary") + "\n";
  }
  return out;
}

}  // namespace understudy::admin
