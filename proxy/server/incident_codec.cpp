#include "proxy/server/incident_codec.hpp"

#include <algorithm>
#include <boost/crc.hpp>
#include <boost/json.hpp>
#include <cstdio>

#include "proxy/observe/escape.hpp"

namespace understudy::server {

namespace json = boost::json;
using incident::Counts;
using incident::Entry;
using incident::Record;
using incident::Sample;
using incident::Wall;

namespace {

constexpr int kFormat = 1;
constexpr std::string_view kMark = ",\"crc\":\"";
constexpr std::size_t kTail = kMark.size() + 8 + 2;  // ,"crc":"12345678"}

std::string checksum(std::string_view text) {
  boost::crc_32_type crc;
  crc.process_bytes(text.data(), text.size());
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(crc.checksum()));
  return digits;
}

std::int64_t ms(Wall at) { return at.time_since_epoch().count(); }

// What an endpoint said may stand in a sentence; bytes that are no UTF-8 would make the line no JSON.
std::string clean(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = observe::utf8_at(text, at).length;
    if (length == 0)
      out += '?';
    else
      out.append(text, at, length);
    at += std::max<std::size_t>(length, 1);
  }
  return out;
}

json::array list_of(const std::vector<std::string>& texts) {
  json::array out;
  for (const std::string& text : texts) out.emplace_back(clean(text));
  return out;
}

// Only what says something: most entries have neither person nor alternatives.
void put(json::object& object, std::string_view key, const std::string& text) {
  if (!text.empty()) object[key] = clean(text);
}

void write(json::object& out, const incident::Opened& opened) {
  out["type"] = "opened";
  out["pool"] = opened.pool;
  out["began"] = ms(opened.began);
  out["detected"] = ms(opened.detected);
  out["epoch"] = opened.epoch;
  out["tier"] = opened.tier;
  out["tiers"] = list_of(opened.tiers);
  out["config"] = opened.config;
  out["version"] = opened.version;
  put(out, "drill", opened.drill);
}

void write(json::object& out, const Entry& entry) {
  out["type"] = "entry";
  out["kind"] = incident::name_of(entry.kind);
  out["event"] = entry.event;
  out["at"] = ms(entry.at);
  if (entry.since != entry.at) out["since"] = ms(entry.since);
  put(out, "tier", entry.tier);
  put(out, "endpoint", entry.endpoint);
  if (entry.epoch != 0) out["epoch"] = entry.epoch;
  put(out, "cause", entry.cause);
  put(out, "text", entry.text);
  put(out, "who", entry.who);
  if (!entry.alternatives.empty()) out["alternatives"] = list_of(entry.alternatives);
}

void write(json::object& out, const Sample& sample) {
  out["type"] = "sample";
  out["from"] = ms(sample.from);
  out["over"] = sample.over.count();
  for (const incident::CountName& one : incident::kCounts)
    if (sample.counts.*one.member != 0) out[one.name] = sample.counts.*one.member;
  if (sample.p50.count() != 0) out["p50_us"] = sample.p50.count();
  if (sample.p95.count() != 0) out["p95_us"] = sample.p95.count();
}

void write(json::object& out, const incident::Closed& closed) {
  out["type"] = "closed";
  out["at"] = ms(closed.at);
  put(out, "text", closed.text);
  if (closed.left_out != 0) out["left_out"] = closed.left_out;
}

// What is absent keeps its default; what has another type makes the line bad.
class Fields {
public:
  explicit Fields(const json::object& object) : object_(object) {}
  bool good() const { return good_; }

  void read(const char* key, std::string& out) {
    const json::value* v = object_.if_contains(key);
    if (v == nullptr) return;
    if (!v->is_string()) return fail();
    out.assign(v->get_string().data(), v->get_string().size());
  }
  void read(const char* key, std::uint64_t& out) {
    const json::value* v = object_.if_contains(key);
    if (v == nullptr) return;
    json::error_code error;
    out = v->to_number<std::uint64_t>(error);
    if (error) fail();
  }
  void read(const char* key, std::int64_t& out) {
    const json::value* v = object_.if_contains(key);
    if (v == nullptr) return;
    json::error_code error;
    const auto number = v->to_number<std::int64_t>(error);
    if (error || number < 0 || number > kLargest) return fail();
    out = number;
  }
  void read(const char* key, Wall& out) {
    std::int64_t number = ms(out);
    read(key, number);
    out = Wall(std::chrono::milliseconds(number));
  }
  void read(const char* key, std::vector<std::string>& out) {
    const json::value* v = object_.if_contains(key);
    if (v == nullptr) return;
    if (!v->is_array()) return fail();
    for (const json::value& item : v->get_array()) {
      if (!item.is_string()) return fail();
      out.emplace_back(item.get_string().data(), item.get_string().size());
    }
  }

private:
  static constexpr std::int64_t kLargest = std::int64_t{1} << 53;  // as any reader of JSON understands
  void fail() { good_ = false; }
  const json::object& object_;
  bool good_ = true;
};

incident::Opened opened_of(Fields& fields) {
  incident::Opened out;
  fields.read("pool", out.pool);
  fields.read("began", out.began);
  fields.read("detected", out.detected);
  fields.read("epoch", out.epoch);
  fields.read("tier", out.tier);
  fields.read("tiers", out.tiers);
  fields.read("config", out.config);
  fields.read("version", out.version);
  fields.read("drill", out.drill);
  return out;
}

Entry entry_of(Fields& fields) {
  Entry out;
  std::string kind;
  fields.read("kind", kind);
  out.kind = incident::entry_kind(kind).value_or(Entry::Kind::note);
  fields.read("event", out.event);
  fields.read("at", out.at);
  out.since = out.at;
  fields.read("since", out.since);
  fields.read("tier", out.tier);
  fields.read("endpoint", out.endpoint);
  fields.read("epoch", out.epoch);
  fields.read("cause", out.cause);
  fields.read("text", out.text);
  fields.read("who", out.who);
  fields.read("alternatives", out.alternatives);
  return out;
}

Sample sample_of(Fields& fields) {
  Sample out;
  fields.read("from", out.from);
  std::int64_t over = 0, p50 = 0, p95 = 0;
  fields.read("over", over);
  fields.read("p50_us", p50);
  fields.read("p95_us", p95);
  out.over = std::chrono::milliseconds(over);
  out.p50 = std::chrono::microseconds(p50);
  out.p95 = std::chrono::microseconds(p95);
  for (const incident::CountName& one : incident::kCounts) fields.read(one.name.data(), out.counts.*one.member);
  return out;
}

incident::Closed closed_of(Fields& fields) {
  incident::Closed out;
  fields.read("at", out.at);
  fields.read("text", out.text);
  fields.read("left_out", out.left_out);
  return out;
}

}  // namespace

std::string to_line(const Record& record) {
  json::object object{{"v", kFormat}, {"incident", record.incident}};
  std::visit([&object](const auto& what) { write(object, what); }, record.what);
  std::string line = json::serialize(object);
  line.pop_back();  // the closing brace
  const std::string sum = checksum(line);
  return line.append(kMark).append(sum).append("\"}\n");
}

std::optional<Record> from_line(std::string_view line, std::string& why) {
  const auto bad = [&why](const char* what) {
    why = what;
    return std::nullopt;
  };
  if (line.size() > kLongestRecord) return bad("too long");
  if (line.size() < kTail) return bad("not whole");
  const std::string_view body = line.substr(0, line.size() - kTail), tail = line.substr(line.size() - kTail);
  if (tail.substr(0, kMark.size()) != kMark || !tail.ends_with("\"}")) return bad("not whole");
  if (tail.substr(kMark.size(), 8) != checksum(body)) return bad("its checksum does not fit");
  json::error_code error;
  const json::value value = json::parse({line.data(), line.size()}, error);
  const json::object* object = value.if_object();
  if (error || object == nullptr) return bad("not JSON");
  Fields fields(*object);
  std::uint64_t format = 0;
  std::string type;
  Record record;
  fields.read("v", format);
  fields.read("incident", record.incident);
  fields.read("type", type);
  if (format != kFormat) return bad("in a format that this version does not know");
  if (type == "opened") {
    record.what = opened_of(fields);
  } else if (type == "entry") {
    record.what = entry_of(fields);
  } else if (type == "sample") {
    record.what = sample_of(fields);
  } else if (type == "closed") {
    record.what = closed_of(fields);
  } else {
    return bad("of a type that this version does not know");
  }
  if (!fields.good()) return bad("with a field of another type");
  return record;
}

}  // namespace understudy::server
