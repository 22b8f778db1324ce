// Walks a document along the key declarations, fills the model and collects what is wrong.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/document.hpp"
#include "config/keys.hpp"

namespace understudy::config {

// Where a given key and its value stand in the file.
struct Mark {
  Span key;
  Span value;
  bool unread = false;     // see Node::unread
  bool from_file = false;  // its text stands in the file itself
  Node::Kind kind = Node::Kind::table;
};

// A text of an array, or an entry of a table of texts, with its place.
struct ListedText {
  std::string text;
  Span span;
};
struct NamedText {
  std::string name;
  std::string value;
  Span span;  // of the name
};

// REQUIRES: file, context and sections outlive the reader. `sections` are where a key that is unknown here may belong.
class Reader {
public:
  Reader(const std::string& file, const LoadContext& context,
         const std::vector<const Section*>& sections = all_sections());

  // Expands every "${NAME}" and "${file:PATH}" in the tree.
  void expand(Node& node);

  // Reads a table along its section. `path` is "pool.app" ("" at the top), `where` "[pool.app]". Keys that
  // are absent keep the object's value; their origin is that of the same key under `fallback` ("check"), else
  // "default".
  void read_table(const Section& section, const Node& node, void* object, const std::string& path,
                  const std::string& where, const std::string& fallback = "");

  void error(const Span& span, std::string_view message, std::string_view hint = "");
  void warning(const Span& span, std::string_view message, std::string_view hint = "");

  // Values. Each reports what is wrong and returns nullopt then; unread nodes give nullopt silently.
  std::optional<std::string> text(const Node& node, const Spot& spot, const Spec& spec);
  std::optional<bool> boolean(const Node& node, const Spot& spot);
  std::optional<std::int64_t> integer(const Node& node, const Spot& spot, const Spec& spec);
  std::optional<Duration> duration(const Node& node, const Spot& spot, const Spec& spec);
  // The duration behind a word, as in "after 5m"; `least` in milliseconds, 7 days at most.
  std::optional<Duration> duration_after(const Node& node, const Spot& spot, std::string_view word, double least);
  // size, byte_rate, rate or share by `type`
  std::optional<double> quantity(Type type, const Node& node, const Spot& spot, const Spec& spec);
  std::optional<std::size_t> choice(const Node& node, const Spot& spot, const std::vector<std::string>& choices);
  std::optional<std::string> file_path(const Node& node, const Spot& spot, const Spec& spec);
  std::optional<Address> address(const Node& node, const Spot& spot, std::uint16_t default_port);
  // Those entries that are right; nullopt when it is no array or table at all.
  std::optional<std::vector<ListedText>> text_list(const Node& node, const Spot& spot, const Spec& spec);
  std::optional<std::vector<NamedText>> text_map(const Node& node, const Spot& spot);
  // "[A-Za-z0-9._-]", 1 to 64 characters; what names pools, tiers, … may be.
  bool check_name(std::string_view name, const Span& span, std::string_view what);
  static bool is_word(const Node& node, std::string_view word);
  void wrong_type(const Node& node, const Spot& spot, std::string_view wanted, const std::string& hint = "");

  void wrong_item(const Node& item, const Spot& spot, std::string_view wanted, const std::string& hint = "");

  // " 'text'" for messages, or "" when the text came from outside the file and may be a secret.
  static std::string quoted(const Node& node);
  // `path` against the folder of the file.
  std::string absolute(const std::string& path) const;

  const Mark* mark(const std::string& path) const;
  // Where `path` is given, else where the nearest table around it is, else the whole file.
  Span span_of(const std::string& path) const;
  Span key_span_of(const std::string& path) const;
  // Whether an error stands at the value of `path`: what it says can't be told then.
  bool is_refused(const std::string& path) const;
  const LoadContext& context() const { return context_; }
  void note(const std::string& path, const Member& member);
  void note_item(const std::string& path, const Node& node);  // one of an array: "pool.app.primary[0]"
  void set_origin(const std::string& path, std::string origin);
  std::string place(const Span& span) const;  // "understudy.toml:12:1"
  bool failed() const { return errors_ > 0; }

  std::vector<Diagnostic> take_diagnostics() { return std::move(diagnostics_); }
  std::map<std::string, std::string> take_origins() { return std::move(origins_); }

private:
  void add(Severity severity, const Span& span, std::string_view message, std::string_view hint);
  void unknown_key(const Section& section, const Member& member, const std::string& where);
  void suggest_elsewhere(const Section& section, const Member& member, const std::string& message);
  void expand_text(Node& node);
  void expand_file(Node& node, const std::string& path);
  void expand_variable(Node& node, const std::string& name);
  bool within(double value, Type type, const Node& node, const Spot& spot, const Spec& spec);

  const std::string& file_;
  const LoadContext& context_;
  const std::vector<const Section*>& sections_;
  std::vector<Diagnostic> diagnostics_;
  std::map<std::string, std::string> origins_;
  std::unordered_map<std::string, Mark> marks_;
  std::size_t errors_ = 0;
  std::size_t suggestions_ = 0;
};

// By position; the same complaint about an inherited value is made once, not once per heir.
void sort_diagnostics(std::vector<Diagnostic>& diagnostics);

}  // namespace understudy::config
