#include "proxy/server/drill_book.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <fstream>
#include <stdexcept>

#include "proxy/observe/log.hpp"

namespace understudy::server {

namespace json = boost::json;
using health::DrillDuty;
using health::DrillHistory;
using health::DrillRecord;
using health::Wall;

namespace {

constexpr std::size_t kLongestFile = 8 * 1024 * 1024;

std::int64_t ms(Wall at) { return at.time_since_epoch().count(); }
Wall wall(std::int64_t at) { return Wall(std::chrono::milliseconds(at)); }

void put(json::object& out, std::string_view key, const std::optional<std::chrono::milliseconds>& time) {
  if (time) out[key] = time->count();
}

// `type`: "drill", or "began" for one that is under way.
std::string line_of(const DrillRecord& record, std::string_view type) {
  json::object out{{"v", 1},
                   {"type", type},
                   {"name", record.name},
                   {"pool", record.pool},
                   {"who", record.who},
                   {"began", ms(record.began)},
                   {"ended", ms(record.ended)},
                   {"complete", record.complete},
                   {"passed", record.passed},
                   {"why", record.why},
                   {"requests", record.requests},
                   {"failed", record.failed}};
  put(out, "detected_ms", record.detected);
  put(out, "shifted_ms", record.shifted);
  put(out, "returned_ms", record.returned);
  return json::serialize(out) + "\n";
}

std::optional<std::chrono::milliseconds> time_in(const json::object& from, std::string_view key) {
  const json::value* value = from.if_contains(key);
  if (value == nullptr) return std::nullopt;
  return std::chrono::milliseconds(value->to_number<std::int64_t>());
}

std::string text_in(const json::object& from, std::string_view key) {
  const json::string& text = from.at(key).as_string();
  return {text.data(), text.size()};
}

// Throws where it is not what it should be.
void take_line(std::string_view line, DrillHistory& history) {
  const json::value value = json::parse({line.data(), line.size()});
  const json::object& from = value.as_object();
  if (from.at("v").to_number<int>() != 1) throw std::runtime_error("another format");
  const auto number = [&from](std::string_view key) { return from.at(key).to_number<std::int64_t>(); };
  const std::string type = text_in(from, "type");
  if (type == "duty") {
    history.duties.push_back({text_in(from, "drill"), text_in(from, "pool"), wall(number("since"))});
    return;
  }
  if (type != "drill" && type != "began") throw std::runtime_error("another type");
  DrillRecord record;
  record.name = text_in(from, "name");
  record.pool = text_in(from, "pool");
  record.who = text_in(from, "who");
  record.began = wall(number("began"));
  record.ended = wall(number("ended"));
  record.complete = from.at("complete").as_bool();
  record.passed = from.at("passed").as_bool();
  record.why = text_in(from, "why");
  record.requests = from.at("requests").to_number<std::uint64_t>();
  record.failed = from.at("failed").to_number<std::uint64_t>();
  record.detected = time_in(from, "detected_ms");
  record.shifted = time_in(from, "shifted_ms");
  record.returned = time_in(from, "returned_ms");
  if (type == "began") return history.begin(std::move(record));
  history.add(std::move(record));
}

}  // namespace

std::string to_text(const DrillHistory& history) {
  std::string out;
  for (const DrillDuty& duty : history.duties)
    out += json::serialize(json::object{
               {"v", 1}, {"type", "duty"}, {"drill", duty.drill}, {"pool", duty.pool}, {"since", ms(duty.since)}}) +
           "\n";
  for (const DrillRecord& record : history.records) out += line_of(record, "drill");
  for (const DrillRecord& record : history.under_way) out += line_of(record, "began");
  return out;
}

DrillHistory drill_history_of(std::string_view text, std::size_t& damaged) {
  DrillHistory history;
  damaged = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    try {
      if (end > 0) take_line(text.substr(0, end), history);
    } catch (const std::exception&) {
      ++damaged;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return history;
}

void DrillBook::open(const std::string& file, Later later, Wall now, std::string& problem) {
  file_ = file;
  later_ = std::move(later);
  if (file_.empty()) return;
  std::ifstream in(file_, std::ios::binary);
  if (!in) {
    if (errno != ENOENT) problem = "cannot read '" + file_ + "': the history of drills begins anew";
    return;
  }
  std::string text(kLongestFile, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  std::size_t damaged = 0;
  history_ = drill_history_of(text, damaged);
  if (damaged > 0) problem = std::to_string(damaged) + " lines of '" + file_ + "' cannot be read and are left out";
  if (history_.end_orphans(now)) save();
}

void DrillBook::begin(DrillRecord record) {
  history_.begin(std::move(record));
  save();
}

void DrillBook::add(DrillRecord record) {
  history_.add(std::move(record));
  save();
}

void DrillBook::follow(const std::vector<config::DrillConfig>& drills, Wall now) {
  if (history_.follow(drills, now)) save();
}

void DrillBook::save() {
  if (file_.empty() || !later_) return;
  later_([path = file_, text = to_text(history_)] {
    if (const std::string failed = observe::write_file_atomically(path, text, 0600); !failed.empty())
      throw std::runtime_error("the history of drills is not kept: " + failed);
  });
}

}  // namespace understudy::server
