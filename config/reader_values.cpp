// Single values: from a node to a typed value, or an error that names the remedy.
#include <algorithm>
#include <charconv>

#include "config/reader.hpp"
#include "config/suggest.hpp"
#include "config/text.hpp"
#include "config/units.hpp"

namespace understudy::config {
namespace {

constexpr std::size_t longest_text = 4096;

std::string article_of(Type type) {
  switch (type) {
    case Type::size: return "a size such as \"16KiB\"";
    case Type::byte_rate: return "a rate of bytes such as \"240B/s\"";
    case Type::rate: return "a rate such as \"50/s\"";
    case Type::share: return "a share such as \"5%\"";
    default: return "a value";
  }
}

std::string bare_number_hint(Type type, const Node& node) {
  if (node.kind != Node::Kind::integer || node.integer < 0) return "write " + article_of(type);
  const std::string number = std::to_string(node.integer);
  switch (type) {
    case Type::duration: return "write \"" + number + "s\" or \"" + number + "ms\"";
    case Type::size: return "write \"" + number + "B\" or \"" + number + "KiB\"";
    case Type::byte_rate: return "write \"" + number + "B/s\"";
    case Type::rate: return "write \"" + number + "/s\"";
    case Type::share: return "write \"" + number + "%\"";
    default: return "";
  }
}

bool is_number(const Node& node) { return node.is(Node::Kind::integer) || node.is(Node::Kind::real); }

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

}  // namespace

void Reader::wrong_type(const Node& node, const Spot& spot, std::string_view wanted, const std::string& hint) {
  if (node.unread) return;
  error(node.span, "'" + std::string(spot.name) + "' must be " + std::string(wanted) + ", not " + kind_words(node.kind),
        hint);
}

void Reader::wrong_item(const Node& item, const Spot& spot, std::string_view wanted, const std::string& hint) {
  if (item.unread) return;
  error(item.span,
        "'" + std::string(spot.name) + "' may hold " + std::string(wanted) + " only, not " + kind_words(item.kind),
        hint);
}

std::optional<std::string> Reader::text(const Node& node, const Spot& spot, const Spec& spec) {
  if (node.unread) return std::nullopt;
  const std::string name(spot.name);
  if (!node.is(Node::Kind::text)) {
    std::string hint;
    if (node.is(Node::Kind::integer)) hint = "write \"" + std::to_string(node.integer) + "\"";
    wrong_type(node, spot, "a string", hint);
    return std::nullopt;
  }
  if (node.text.empty() && !spec.allow_empty) {
    error(node.span, "'" + name + "' is empty" + (node.source.empty() ? "" : " (from " + printable(node.source) + ")"),
          spec.required ? "" : "leave the key out");
    return std::nullopt;
  }
  if (node.text.size() > longest_text && !spec.allow_empty) {
    error(node.span, "'" + name + "' is longer than 4096 bytes");
    return std::nullopt;
  }
  if (!node.source.empty() && !is_utf8(node.text)) {
    error(node.span, "'" + name + "' is not valid UTF-8 (from " + printable(node.source) + ")");
    return std::nullopt;
  }
  if (has_control(node.text) && !spec.allow_empty) {
    error(node.span, "'" + name + "' contains a control character");
    return std::nullopt;
  }
  return node.text;
}

std::optional<bool> Reader::boolean(const Node& node, const Spot& spot) {
  if (node.unread) return std::nullopt;
  if (node.is(Node::Kind::boolean)) return node.boolean;
  if (node.is(Node::Kind::text) && (node.text == "true" || node.text == "false")) {
    if (!node.source.empty()) return node.text == "true";
    wrong_type(node, spot, "a boolean", "write " + node.text + " without quotes");
  } else {
    wrong_type(node, spot, "a boolean", "write true or false");
  }
  return std::nullopt;
}

bool Reader::within(double value, Type type, const Node& node, const Spot& spot, const Spec& spec) {
  const std::string name(spot.name);
  if (value < spec.min) {
    std::string hint;
    if (value == 0 && spec.word == "none") hint = "write \"none\" for no limit";
    error(node.span, "'" + name + "' must be at least " + format_value(type, spec.min), hint);
    return false;
  }
  if (value > spec.max) {
    error(node.span, "'" + name + "' must be at most " + format_value(type, spec.max),
          spec.word == "none" ? "write \"none\" for no limit" : "");
    return false;
  }
  return true;
}

std::optional<std::int64_t> Reader::integer(const Node& node, const Spot& spot, const Spec& spec) {
  if (node.unread) return std::nullopt;
  std::int64_t value = node.integer;
  if (!node.is(Node::Kind::integer)) {
    // A number in a string is a slip in the file, but the only form the environment has.
    const char* end = node.text.data() + node.text.size();
    const bool digits =
        node.is(Node::Kind::text) && !node.text.empty() && std::from_chars(node.text.data(), end, value).ptr == end;
    const std::string word = spec.word.empty() ? "" : " or \"" + std::string(spec.word) + "\"";
    if (!digits || node.source.empty()) {
      if (node.is(Node::Kind::text) && !digits && !spec.word.empty()) {
        error(node.span, "'" + std::string(spot.name) + "' must be an integer" + word);
      } else {
        wrong_type(node, spot, "an integer" + word, digits ? "write " + node.text + " without quotes" : "");
      }
      return std::nullopt;
    }
  }
  if (!within(static_cast<double>(value), Type::integer, node, spot, spec)) return std::nullopt;
  return value;
}

std::optional<Duration> Reader::duration(const Node& node, const Spot& spot, const Spec& spec) {
  if (node.unread) return std::nullopt;
  const std::string name(spot.name);
  if (is_number(node)) {
    error(
        node.span, "'" + name + "' needs a unit",
        node.is(Node::Kind::integer) ? bare_number_hint(Type::duration, node) : "write a duration such as \"1500ms\"");
    return std::nullopt;
  }
  if (!node.is(Node::Kind::text)) {
    wrong_type(node, spot, "a duration such as \"1m30s\"");
    return std::nullopt;
  }
  UnitError problem;
  const auto value = parse_duration(node.text, &problem);
  if (!value) {
    std::string remedy = problem.remedy;
    if (node.text == "none") {
      error(node.span, "'" + name + "' can't be \"none\"", "write a duration such as \"1m30s\"");
    } else {
      error(node.span, "'" + name + "' " + problem.problem, std::move(remedy));
    }
    return std::nullopt;
  }
  if (!within(static_cast<double>(value->count()), Type::duration, node, spot, spec)) return std::nullopt;
  return *value;
}

std::optional<Duration> Reader::duration_after(const Node& node, const Spot& spot, std::string_view word,
                                               double least) {
  constexpr double week = 7.0 * 24 * 3600 * 1000;
  UnitError problem;
  const auto value = parse_duration(std::string_view(node.text).substr(word.size()), &problem);
  const std::string name(spot.name);
  if (!value) {
    error(node.span, "the duration of '" + name + "' " + problem.problem, problem.remedy);
    return std::nullopt;
  }
  const auto count = static_cast<double>(value->count());
  if (count < least || count > week) {
    error(node.span, "the duration of '" + name + "' must be from " + format_value(Type::duration, least) + " to 7d");
    return std::nullopt;
  }
  return value;
}

std::optional<double> Reader::quantity(Type type, const Node& node, const Spot& spot, const Spec& spec) {
  if (node.unread) return std::nullopt;
  const std::string name(spot.name);
  if (is_number(node)) {
    error(node.span, "'" + name + "' needs a unit", bare_number_hint(type, node));
    return std::nullopt;
  }
  if (!node.is(Node::Kind::text)) {
    wrong_type(node, spot, article_of(type));
    return std::nullopt;
  }
  UnitError problem;
  std::optional<double> value;
  switch (type) {
    case Type::size:
      if (const auto bytes = parse_size(node.text, &problem)) value = static_cast<double>(*bytes);
      break;
    case Type::byte_rate:
      if (const auto bytes = parse_byte_rate(node.text, &problem)) value = static_cast<double>(*bytes);
      break;
    case Type::rate: value = parse_rate(node.text, &problem); break;
    default: value = parse_share(node.text, &problem); break;
  }
  if (!value) {
    if (node.text == "none" && spec.word != "none") {
      error(node.span, "'" + name + "' can't be \"none\"", "write " + article_of(type));
    } else {
      error(node.span, "'" + name + "' " + problem.problem, problem.remedy);
    }
    return std::nullopt;
  }
  if (!within(*value, type, node, spot, spec)) return std::nullopt;
  return value;
}

std::optional<std::size_t> Reader::choice(const Node& node, const Spot& spot, const std::vector<std::string>& choices) {
  if (node.unread) return std::nullopt;
  std::string list;
  std::vector<std::string_view> words;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (node.is(Node::Kind::text) && node.text == choices[i]) return i;
    list += (list.empty() ? "" : i + 1 == choices.size() ? " or " : ", ") + ("\"" + choices[i] + "\"");
    words.push_back(choices[i]);
  }
  if (!node.is(Node::Kind::text)) {
    wrong_type(node, spot, list);
    return std::nullopt;
  }
  const auto near = nearest(node.text, words);
  error(node.span,
        "'" + std::string(spot.name) + "' can't be" +
            (node.source.empty() ? quoted(node) : " what " + printable(node.source) + " says"),
        near ? "did you mean \"" + *near + "\"?" : "write " + list);
  return std::nullopt;
}

std::optional<std::string> Reader::file_path(const Node& node, const Spot& spot, const Spec& spec) {
  const auto value = text(node, spot, spec);
  if (!value) return std::nullopt;
  return absolute(*value);
}

std::optional<Address> Reader::address(const Node& node, const Spot& spot, std::uint16_t default_port) {
  const auto value = text(node, spot, {.help = "", .required = true});
  if (!value) return std::nullopt;
  std::string problem;
  auto parsed = parse_address(*value, default_port, &problem);
  if (!parsed) {
    const std::size_t remedy = problem.find("; ");
    error(node.span, "'" + std::string(spot.name) + "'" + quoted(node) + " " + problem.substr(0, remedy),
          remedy == std::string::npos ? "" : problem.substr(remedy + 2));
    return std::nullopt;
  }
  if (parsed->is_unix() && parsed->path.front() != '/' && parsed->path.front() != '@') {
    parsed->path = absolute(parsed->path);
    parsed->text = "unix:" + parsed->path;
  }
  return parsed;
}

std::optional<std::vector<ListedText>> Reader::text_list(const Node& node, const Spot& spot, const Spec& spec) {
  if (node.unread) return std::nullopt;
  if (!node.is(Node::Kind::array)) {
    const bool written = node.is(Node::Kind::text) && node.source.empty();
    wrong_type(node, spot, "an array of strings", written ? "write [\"" + printable(node.text, 30) + "\"]" : "");
    return std::nullopt;
  }
  std::vector<ListedText> out;
  for (const Node& item : node.items) {
    if (!item.is(Node::Kind::text)) {
      wrong_item(item, spot, "strings");
    } else if (auto value = text(item, spot, spec)) {
      out.push_back({std::move(*value), item.span});
    }
  }
  return out;
}

std::optional<std::vector<NamedText>> Reader::text_map(const Node& node, const Spot& spot) {
  if (!node.is(Node::Kind::table)) {
    wrong_type(node, spot, "a table of strings", "write { Name = \"value\" }");
    return std::nullopt;
  }
  std::vector<NamedText> out;
  for (const Member& member : node.members) {
    const std::string shown = printable(member.name);
    const Spot inner{spot.path, spot.where, shown};
    // Even where the value is wrong the name is worth checking.
    out.push_back({member.name, text(member.value, inner, {}).value_or(""), member.span});
  }
  return out;
}

bool Reader::check_name(std::string_view name, const Span& span, std::string_view what) {
  const bool good = !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  });
  if (!good) {
    error(span, "'" + printable(name) + "' can't be the name of " + std::string(what),
          "use up to 64 letters, digits, '-', '_' and '.'");
  }
  return good;
}

}  // namespace understudy::config
