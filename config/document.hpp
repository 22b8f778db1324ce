// A TOML file as a plain tree with positions, so that nothing beyond document.cpp needs the TOML library.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"

namespace understudy::config {

// A piece of one line; 1-based, in code points. Line 0 means the whole file.
struct Span {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::uint32_t width = 1;
};

struct Member;

struct Node {
  enum class Kind : std::uint8_t { text, integer, real, boolean, date, array, table };
  Kind kind = Kind::table;
  bool boolean = false;
  bool unread = false;  // a "${file:…}" that the caller did not want read: its text is unknown
  std::int64_t integer = 0;
  double real = 0;
  Span span;
  std::string text;
  std::string source;  // "environment NAME" or "file PATH" when the text was expanded; it may be a secret then
  std::vector<Node> items;
  std::vector<Member> members;  // in file order

  bool is(Kind wanted) const { return kind == wanted; }
  const Member* find(std::string_view name) const;
};

struct Member {
  std::string name;
  Span span;  // of the key
  Node value;
};

// "a string", "an integer", …
const char* kind_words(Node::Kind kind);

// Parses TOML. On a syntax error fills `failure` (parsing stops at the first) and returns nullopt.
std::optional<Node> parse_document(std::string_view text, const std::string& file, Diagnostic& failure);

// Refuses, before the TOML library sees it, what could exhaust the stack or memory: nesting, dotted keys,
// size.
bool check_shape(std::string_view text, Diagnostic& failure);

// Says in our words what the TOML library says in its own, and moves the place to what is meant. `text` is
// the file.
void translate_syntax_error(std::string_view description, std::string_view text, Diagnostic& failure);

}  // namespace understudy::config
