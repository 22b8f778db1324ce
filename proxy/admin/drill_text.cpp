#include "proxy/admin/drill_text.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <vector>

#include "health/drill/history.hpp"
#include "proxy/admin/status_text.hpp"

namespace understudy::admin {
namespace {

namespace json = boost::json;
using Times = std::vector<std::optional<std::chrono::milliseconds>>;

std::string text(const json::object& from, std::string_view key) {
  const json::value* value = from.if_contains(key);
  const json::string* words = value != nullptr ? value->if_string() : nullptr;
  return words != nullptr ? printable({words->data(), words->size()}) : std::string();
}

std::optional<std::chrono::milliseconds> time(const json::object& from, std::string_view key) {
  const json::value* value = from.if_contains(key);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return std::chrono::milliseconds(std::llround(value->to_number<double>()));
}

// "2026-11-26T10:20:30.123Z" to the minute.
std::string moment(std::string at) {
  if (at.size() < 16) return at.empty() ? "never" : at;
  at[10] = ' ';
  return at.substr(0, 16);
}

std::string padded(std::string cell, std::size_t width) {
  if (cell.size() < width) cell.append(width - cell.size(), ' ');
  return cell + " ";
}

// "1.25 s +20%": against the runs before it.
std::string time_cell(Times& so_far, std::optional<std::chrono::milliseconds> value) {
  so_far.push_back(value);
  if (!value) return "-";
  char cell[48];
  std::snprintf(cell, sizeof cell, "%.2f s", std::chrono::duration<double>(*value).count());
  std::string out = cell;
  const health::Trend trend = health::trend_of(so_far);
  if (!trend.usual) return out;
  std::snprintf(cell, sizeof cell, " %+.0f%%", trend.change * 100);
  return out + cell;
}

const json::array& list(const json::value& from, std::string_view key) {
  static const json::array none;
  const json::object* object = from.if_object();
  const json::value* value = object != nullptr ? object->if_contains(key) : nullptr;
  return value != nullptr && value->is_array() ? value->get_array() : none;
}

}  // namespace

std::string drill_history_text(const json::value& history) {
  std::string out;
  struct Before {
    Times detected, shifted, returned;
  };
  std::map<std::pair<std::string, std::string>, Before> before;
  for (const json::value& item : list(history, "history")) {
    const json::object* one = item.if_object();
    if (one == nullptr) continue;
    if (out.empty())
      out = padded("began (UTC)", 16) + padded("pool", 12) + padded("verdict", 7) + padded("detected", 13) +
            padded("shifted", 13) + padded("returned", 13) + padded("failed", 7) + "drill\n";
    const std::string name = text(*one, "name"), pool = text(*one, "pool"), why = text(*one, "why");
    const json::value* failed = one->if_contains("failed");
    Before& times = before[{name, pool}];
    out +=
        padded(moment(text(*one, "began")), 16) + padded(pool, 12) + padded(text(*one, "verdict"), 7) +
        padded(time_cell(times.detected, time(*one, "detected_ms")), 13) +
        padded(time_cell(times.shifted, time(*one, "shifted_ms")), 13) +
        padded(time_cell(times.returned, time(*one, "returned_ms")), 13) +
        padded(failed != nullptr && failed->is_number() ? std::to_string(failed->to_number<std::uint64_t>()) : "?", 7) +
        name + (why.empty() ? "" : " (" + why + ")") + "\n";
  }
  for (const json::value& item : list(history, "duties")) {
    const json::object* one = item.if_object();
    if (one == nullptr) continue;
    const json::value* overdue = one->if_contains("overdue");
    const bool late = overdue != nullptr && overdue->is_bool() && overdue->get_bool();
    const std::string due = text(*one, "due");
    out += std::string(late ? "OVERDUE" : "scheduled") + ": drill " + text(*one, "drill") + " of pool " +
           text(*one, "pool") + ", last due " + (due.empty() ? std::string("not yet") : moment(due)) + ", last made " +
           moment(text(*one, "made")) + "\n";
  }
  return out;
}

}  // namespace understudy::admin
