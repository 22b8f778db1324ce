#include "config/document.hpp"

#include <algorithm>

#include "config/text.hpp"

// The only user of the TOML library: it costs four seconds to compile.
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#define TOML_UNRELEASED_FEATURES 0
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Woverloaded-virtual"
#endif
#include <toml++/toml.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace understudy::config {
namespace {

Span span_of(const toml::source_region& region) {
  Span span;
  span.line = region.begin.line;
  span.column = region.begin.column;
  if (region.end.line == region.begin.line && region.end.column > region.begin.column) {
    span.width = region.end.column - region.begin.column;
  }
  return span;
}

bool before(const Span& a, const Span& b) { return a.line != b.line ? a.line < b.line : a.column < b.column; }

Node convert(const toml::node& from);

void convert_table(const toml::table& from, Node& to) {
  to.kind = Node::Kind::table;
  to.members.reserve(from.size());
  for (auto&& [key, value] : from) {
    Member member;
    member.name = std::string(key.str());
    member.span = span_of(key.source());
    member.value = convert(value);
    to.members.push_back(std::move(member));
  }
  // The library keeps keys sorted by name; people expect messages and rules in the order of their file.
  std::stable_sort(to.members.begin(), to.members.end(),
                   [](const Member& a, const Member& b) { return before(a.span, b.span); });
}

Node convert(const toml::node& from) {
  Node to;
  to.span = span_of(from.source());
  switch (from.type()) {
    case toml::node_type::table: convert_table(*from.as_table(), to); break;
    case toml::node_type::array:
      to.kind = Node::Kind::array;
      for (const toml::node& item : *from.as_array()) to.items.push_back(convert(item));
      break;
    case toml::node_type::string:
      to.kind = Node::Kind::text;
      to.text = from.as_string()->get();
      break;
    case toml::node_type::integer:
      to.kind = Node::Kind::integer;
      to.integer = from.as_integer()->get();
      break;
    case toml::node_type::floating_point:
      to.kind = Node::Kind::real;
      to.real = from.as_floating_point()->get();
      break;
    case toml::node_type::boolean:
      to.kind = Node::Kind::boolean;
      to.boolean = from.as_boolean()->get();
      break;
    default: to.kind = Node::Kind::date; break;
  }
  return to;
}

}  // namespace

const Member* Node::find(std::string_view name) const {
  for (const Member& member : members) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

const char* kind_words(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::text: return "a string";
    case Node::Kind::integer: return "an integer";
    case Node::Kind::real: return "a number with a fraction";
    case Node::Kind::boolean: return "a boolean";
    case Node::Kind::date: return "a date or time";
    case Node::Kind::array: return "an array";
    case Node::Kind::table: return "a table";
  }
  return "";
}

std::optional<Node> parse_document(std::string_view text, const std::string& file, Diagnostic& failure) {
  failure = Diagnostic{};
  failure.file = file;
  if (!check_shape(text, failure)) return std::nullopt;
  try {
    const toml::table table = toml::parse(text, std::string_view(file));
    Node root;
    convert_table(table, root);
    root.span = {1, 1, 1};
    return root;
  } catch (const toml::parse_error& error) {
    failure.line = error.source().begin.line;
    failure.column = error.source().begin.column;
    translate_syntax_error(error.description(), text, failure);
    return std::nullopt;
  }
}

}  // namespace understudy::config
