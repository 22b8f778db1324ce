#include "proxy/admin/command_body.hpp"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <vector>

#include "config/suggest.hpp"

namespace understudy::admin {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 4;   // commands need one level; more is only parsed to say so
constexpr std::size_t kMaxShown = 64;  // of a caller's text in an answer

struct Flat {
  using Value = std::variant<std::nullptr_t, std::string, bool, std::uint64_t>;  // null: a kind that no command takes
  struct Item {
    std::string key;
    Value value;
    std::string kind;
  };
  std::vector<Item> items;
  std::string wrong;  // first thing wrong with the shape
};

// Takes the parser's events and keeps what stands on the first level. All members are what Boost.JSON asks of
// a handler.
struct FlatHandler {
  static constexpr std::size_t max_array_size = 1024;
  static constexpr std::size_t max_object_size = 1024;
  static constexpr std::size_t max_string_size = 64 * 1024;
  static constexpr std::size_t max_key_size = 1024;

  Flat flat;
  std::size_t depth = 0;
  std::string text;  // pieces of the string or key being read

  static void append(std::string& to, json::string_view s) { to.append(s.data(), s.size()); }
  void blame(std::string what) {
    if (flat.wrong.empty()) flat.wrong = std::move(what);
  }
  void scalar(Flat::Value value, const char* kind) {
    if (depth == 0) blame("the body must be a JSON object");
    if (depth != 1) return;
    flat.items.back().value = std::move(value);
    flat.items.back().kind = kind;
  }
  void open(const char* kind) {
    if (depth == 1) flat.items.back().kind = kind;
    ++depth;
  }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_array_begin(json::error_code&) {
    if (depth == 0) blame("the body must be a JSON object");
    open("a list");
    return true;
  }
  bool on_array_end(std::size_t, json::error_code&) { return --depth, true; }
  bool on_object_begin(json::error_code&) {
    open("an object");
    return true;
  }
  bool on_object_end(std::size_t, json::error_code&) { return --depth, true; }
  bool on_key_part(json::string_view s, std::size_t, json::error_code&) { return append(text, s), true; }
  bool on_key(json::string_view s, std::size_t, json::error_code&) {
    append(text, s);
    if (depth == 1) {
      const bool twice = std::any_of(flat.items.begin(), flat.items.end(),
                                     [this](const Flat::Item& item) { return item.key == text; });
      if (twice) blame("key '" + text.substr(0, kMaxShown) + "' stands twice");
      flat.items.push_back({text, nullptr, "null"});
    }
    text.clear();
    return true;
  }
  bool on_string_part(json::string_view s, std::size_t, json::error_code&) { return append(text, s), true; }
  bool on_string(json::string_view s, std::size_t, json::error_code&) {
    append(text, s);
    scalar(std::exchange(text, {}), "text");
    return true;
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t i, json::string_view, json::error_code&) {
    if (i >= 0) return scalar(static_cast<std::uint64_t>(i), "a number"), true;
    return scalar(nullptr, "a number below 0"), true;
  }
  bool on_uint64(std::uint64_t u, json::string_view, json::error_code&) { return scalar(u, "a number"), true; }
  bool on_double(double, json::string_view, json::error_code&) {
    return scalar(nullptr, "a number with a fraction"), true;
  }
  bool on_bool(bool b, json::error_code&) { return scalar(b, "true or false"), true; }
  bool on_null(json::error_code&) { return scalar(nullptr, "null"), true; }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
};

std::variant<Flat, Problem> parse_flat(std::string_view text) {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::basic_parser<FlatHandler> parser(options);
  json::error_code error;
  std::size_t used = parser.write_some(false, text.data(), text.size(), error);
  while (!error && used < text.size() && std::string_view(" \t\r\n").find(text[used]) != std::string_view::npos) {
    ++used;
  }
  if (error || used < text.size()) {
    const std::string why = error ? error.message() : "something follows the object";
    return Problem{400, "not valid JSON", "byte " + std::to_string(used + 1) + ": " + why};
  }
  Flat& flat = parser.handler().flat;
  if (!flat.wrong.empty()) return Problem{400, "not a command", flat.wrong};
  return std::move(flat);
}

// Texts end up in the event log and on terminals.
bool is_one_line(std::string_view text) {
  return text.size() <= 500 && std::none_of(text.begin(), text.end(),
                                            [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string list_of(std::span<const BodyKey> keys) {
  if (keys.empty()) return "this command takes none";
  std::string out = "known are ";
  for (std::size_t i = 0; i < keys.size(); ++i) out += (i ? ", " : "") + std::string(keys[i].name);
  return out;
}

const char* word_of(BodyKey::Type type) {
  switch (type) {
    case BodyKey::Type::text:
    case BodyKey::Type::document: return "text";
    case BodyKey::Type::boolean: return "true or false";
    case BodyKey::Type::number: return "a whole number";
  }
  return "";
}

bool fits(const Flat::Value& value, BodyKey::Type type) {
  switch (type) {
    case BodyKey::Type::text:
    case BodyKey::Type::document: return std::holds_alternative<std::string>(value);
    case BodyKey::Type::boolean: return std::holds_alternative<bool>(value);
    case BodyKey::Type::number: return std::holds_alternative<std::uint64_t>(value);
  }
  return false;
}

Problem unknown_key(const std::string& key, std::span<const BodyKey> keys) {
  std::vector<std::string_view> names;
  for (const BodyKey& known : keys) names.push_back(known.name);
  const auto near = config::nearest(key, names);
  std::string detail = "unknown key '" + key.substr(0, kMaxShown) + "'";
  detail += near ? ", did you mean '" + *near + "'?" : "; " + list_of(keys);
  return Problem{422, "unknown key", detail};
}

}  // namespace

std::variant<CommandBody, Problem> CommandBody::read(std::string_view json_text, std::span<const BodyKey> keys) {
  CommandBody body;
  const bool blank = json_text.find_first_not_of(" \t\r\n") == std::string_view::npos;
  Flat flat;
  if (!blank) {
    auto parsed = parse_flat(json_text);
    if (auto* problem = std::get_if<Problem>(&parsed)) return std::move(*problem);
    flat = std::get<Flat>(std::move(parsed));
  }
  for (Flat::Item& item : flat.items) {
    const auto known = std::find_if(keys.begin(), keys.end(), [&](const BodyKey& key) { return key.name == item.key; });
    if (known == keys.end()) return unknown_key(item.key, keys);
    if (!fits(item.value, known->type)) {
      return Problem{422, "wrong type", "'" + item.key + "' must be " + word_of(known->type) + ", not " + item.kind};
    }
    const auto* said = std::get_if<std::string>(&item.value);
    if (said && known->type != BodyKey::Type::document && !is_one_line(*said)) {
      return Problem{422, "not one line",
                     "'" + item.key + "' must be one line of at most 500 bytes without control bytes"};
    }
    if (auto* text = std::get_if<std::string>(&item.value)) body.values_.emplace(item.key, std::move(*text));
    if (const bool* flag = std::get_if<bool>(&item.value)) body.values_.emplace(item.key, *flag);
    if (const auto* number = std::get_if<std::uint64_t>(&item.value)) body.values_.emplace(item.key, *number);
  }
  for (const BodyKey& key : keys) {
    if (key.required && !body.has(key.name)) {
      return Problem{422, "key missing", "'" + std::string(key.name) + "' is required; " + list_of(keys)};
    }
  }
  return body;
}

std::string CommandBody::text(std::string_view key) const {
  const auto found = values_.find(key);
  const auto* text = found == values_.end() ? nullptr : std::get_if<std::string>(&found->second);
  return text ? *text : std::string{};
}

bool CommandBody::flag(std::string_view key) const {
  const auto found = values_.find(key);
  const bool* flag = found == values_.end() ? nullptr : std::get_if<bool>(&found->second);
  return flag && *flag;
}

std::optional<std::uint64_t> CommandBody::number(std::string_view key) const {
  const auto found = values_.find(key);
  const auto* number = found == values_.end() ? nullptr : std::get_if<std::uint64_t>(&found->second);
  return number ? std::optional(*number) : std::nullopt;
}

}  // namespace understudy::admin
