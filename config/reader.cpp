#include "config/reader.hpp"

#include <algorithm>
#include <array>

#include "config/suggest.hpp"
#include "config/text.hpp"

namespace understudy::config {
namespace {

constexpr std::size_t most_suggestions = 50;  // bounds the work on a file that is all mistakes
constexpr std::size_t longest_message = 400;

struct Synonym {
  std::string_view typed;
  std::string_view meant;
};
// What people bring along from other proxies.
constexpr std::array<Synonym, 26> synonyms{
    {{"servers", "primary"},   {"endpoints", "primary"}, {"backup", "standby"},    {"secondary", "standby"},
     {"fallback", "standby"},  {"cert", "certificate"},  {"health", "check"},      {"health_check", "check"},
     {"healthcheck", "check"}, {"upstream", "pool"},     {"backend", "pool"},      {"cluster", "pool"},
     {"frontend", "listen"},   {"listener", "listen"},   {"listeners", "listen"},  {"routes", "route"},
     {"pools", "pool"},        {"algorithm", "balance"}, {"lb_policy", "balance"}, {"strategy", "balance"},
     {"listen", "address"},    {"bind", "address"},      {"port", "address"},      {"maxconn", "max_in_flight"},
     {"threads", "workers"},   {"url", "address"}}};

bool is_variable_name(std::string_view name) {
  if (name.empty() || (name.front() >= '0' && name.front() <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  });
}

// Where the members of a table stand: "[pool.app]" gives "[pool.app.check]", "[[route]]" gives
// "[[route]].match".
std::string inside(const std::string& where, std::string_view name) {
  if (where.empty()) return "[" + std::string(name) + "]";
  if (where.size() > 1 && where.front() == '[' && where[1] != '[' && where.back() == ']') {
    return where.substr(0, where.size() - 1) + "." + std::string(name) + "]";
  }
  return where + "." + std::string(name);
}

}  // namespace

Reader::Reader(const std::string& file, const LoadContext& context) : file_(file), context_(context) {}

std::string Reader::place(const Span& span) const {
  return file_ + ":" + std::to_string(span.line) + ":" + std::to_string(span.column);
}

void Reader::error(const Span& span, std::string_view message, std::string_view hint) {
  ++errors_;
  add(Severity::error, span, message, hint);
}

void Reader::warning(const Span& span, std::string_view message, std::string_view hint) {
  add(Severity::warning, span, message, hint);
}

// Messages hold names from the file: nothing in them may steer a terminal or fill it.
void Reader::add(Severity severity, const Span& span, std::string_view message, std::string_view hint) {
  diagnostics_.push_back({severity, file_, span.line, span.column, printable(message, longest_message),
                          printable(hint, longest_message), span.width});
}

void Reader::note(const std::string& path, const Member& member) {
  Mark& mark = marks_[path];
  mark.key = member.span;
  mark.value = member.value.span;
  mark.unread = member.value.unread;
  mark.from_file = member.value.source.empty() && !member.value.unread;
  mark.kind = member.value.kind;
  origins_[path] = member.value.source.empty() ? place(member.span) : member.value.source;
}

void Reader::note_item(const std::string& path, const Node& node) {
  Mark& mark = marks_[path];
  mark.key = node.span;
  mark.value = node.span;
  mark.unread = node.unread;
  mark.kind = node.kind;
}

void Reader::set_origin(const std::string& path, std::string origin) { origins_[path] = std::move(origin); }

const Mark* Reader::mark(const std::string& path) const {
  const auto found = marks_.find(path);
  return found == marks_.end() ? nullptr : &found->second;
}

Span Reader::span_of(const std::string& path) const {
  std::string_view rest = path;
  while (!rest.empty()) {
    if (const Mark* found = mark(std::string(rest))) {
      return found->value.line != 0 ? found->value : found->key;
    }
    const std::size_t dot = rest.rfind('.');
    rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(0, dot);
  }
  return {};
}

Span Reader::key_span_of(const std::string& path) const {
  const Mark* found = mark(path);
  return found != nullptr ? found->key : span_of(path);
}

std::string Reader::absolute(const std::string& path) const {
  if (path.empty() || path.front() == '/') return path;
  const std::size_t slash = file_.rfind('/');
  return slash == std::string::npos ? path : file_.substr(0, slash + 1) + path;
}

std::string Reader::quoted(const Node& node) {
  if (!node.source.empty()) return " (from " + printable(node.source) + ")";
  return " '" + printable(node.text) + "'";
}

bool Reader::is_word(const Node& node, std::string_view word) { return node.is(Node::Kind::text) && node.text == word; }

// --- expansion ---

void Reader::expand(Node& node) {
  if (node.is(Node::Kind::text)) return expand_text(node);
  for (Node& item : node.items) expand(item);
  for (Member& member : node.members) expand(member.value);
}

void Reader::expand_text(Node& node) {
  if (node.text.find("${") == std::string::npos) return;
  const std::string& text = node.text;
  const bool whole = text.size() > 3 && text.substr(0, 2) == "${" && text.find('}') == text.size() - 1;
  if (whole) {
    const std::string name = text.substr(2, text.size() - 3);
    if (name.substr(0, 5) == "file:") return expand_file(node, name.substr(5));
    return expand_variable(node, name);
  }
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 3, "$${") == 0) {
      out += "${";
      i += 2;
    } else if (text.compare(i, 2, "${") == 0) {
      node.unread = true;
      return error(node.span, "'${...}' must be the whole value", "write \"$${\" for the characters themselves");
    } else {
      out += text[i];
    }
  }
  node.text = std::move(out);
}

void Reader::expand_variable(Node& node, const std::string& name) {
  if (!is_variable_name(name)) {
    node.unread = true;
    return error(node.span, "'" + printable(name) + "' is not the name of an environment variable",
                 "write \"${NAME}\" or \"${file:PATH}\"");
  }
  const auto value = context_.environment ? context_.environment(name) : std::nullopt;
  if (!value) {
    node.unread = true;
    return error(node.span, "environment variable " + printable(name) + " is not set");
  }
  node.source = "environment " + name;
  node.text = *value;
}

void Reader::expand_file(Node& node, const std::string& path) {
  if (path.empty()) {
    node.unread = true;
    return error(node.span, "no path after 'file:'", "write \"${file:PATH}\"");
  }
  node.source = "file " + absolute(path);
  if (!context_.read_file) {
    node.unread = true;
    return;
  }
  auto content = context_.read_file(absolute(path));
  if (!content) {
    node.unread = true;
    return error(node.span, "can't read '" + printable(absolute(path), 200) + "'");
  }
  if (!content->empty() && content->back() == '\n') content->pop_back();
  if (!content->empty() && content->back() == '\r') content->pop_back();
  node.text = std::move(*content);
}

// --- tables ---

void Reader::read_table(const Section& section, const Node& node, void* object, const std::string& path,
                        const std::string& where, const std::string& fallback) {
  for (const Member& member : node.members) {
    if (section.find(member.name) == nullptr) unknown_key(section, member, where);
  }
  static const Node absent{};
  const std::string prefix = path.empty() ? "" : path + ".";
  for (const Key& key : section.keys) {
    const Member* member = node.members.empty() ? nullptr : node.find(key.name);
    if (member != nullptr) {
      const std::string child = prefix + key.name;
      note(child, *member);
      const Spot spot{child, where, key.name};
      if (!key.open) {
        if (!member->value.unread) key.read(*this, member->value, spot, object);
      } else if (!member->value.is(Node::Kind::table)) {
        const std::string example(key.spec.example);
        wrong_type(member->value, spot, "a table",
                   "write " + (example.empty() ? inside(where, key.name) : key.name + " = " + example));
      } else {
        read_table(*key.section, member->value, key.open(object), child, inside(where, key.name), key.inherits);
      }
    } else if (key.open) {
      // Absent, but what it inherits has an origin.
      if (!key.inherits.empty())
        read_table(*key.section, absent, key.open(object), prefix + key.name, "", key.inherits);
    } else if (key.spec.required) {
      const std::string example(key.spec.example);
      error(node.span, "'" + key.name + "' is missing in " + where,
            example.empty() ? "" : "write " + key.name + " = " + example);
    } else if (!fallback.empty()) {
      const auto inherited = origins_.find(fallback + "." + key.name);
      if (inherited != origins_.end()) origins_.try_emplace(prefix + key.name, inherited->second);
    }
  }
}

void Reader::unknown_key(const Section& section, const Member& member, const std::string& where) {
  const std::string shown = printable(member.name);
  const std::string kind = member.value.is(Node::Kind::table) && where.empty() ? "table" : "key";
  const std::string message = where.empty() && kind == "table" ? "unknown table [" + shown + "]"
                              : where.empty()                  ? "unknown key '" + shown + "' outside of any table"
                                                               : "unknown key '" + shown + "' in " + where;
  if (++suggestions_ > most_suggestions || member.name.size() > 64) return error(member.span, message);
  std::vector<std::string_view> here;
  for (const Key& key : section.keys) here.push_back(key.name);
  if (const auto near = nearest(member.name, here)) return error(member.span, message, "did you mean '" + *near + "'?");
  for (const Synonym& synonym : synonyms) {
    if (synonym.typed == member.name && section.find(synonym.meant) != nullptr) {
      return error(member.span, message, "did you mean '" + std::string(synonym.meant) + "'?");
    }
  }
  std::vector<std::string_view> everywhere;
  std::string homes;
  for (const Section* other : all_sections()) {
    if (other == &section) continue;
    for (const Key& key : other->keys) everywhere.push_back(key.name);
    if (other->find(member.name) == nullptr) continue;
    const std::string home = other->also.empty() ? other->header : other->also;
    if (std::count(homes.begin(), homes.end(), ',') < 2) homes += (homes.empty() ? "" : ", ") + home;
  }
  if (!homes.empty()) return error(member.span, message, "'" + shown + "' belongs in " + homes);
  if (const auto near = nearest(member.name, everywhere)) {
    for (const Section* other : all_sections()) {
      if (other->find(*near) == nullptr) continue;
      const std::string home = other->also.empty() ? other->header : other->also;
      return error(member.span, message, "did you mean '" + *near + "' in " + home + "?");
    }
  }
  error(member.span, message);
}

}  // namespace understudy::config
