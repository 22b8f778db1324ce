// Syntax errors in our own words, and the checks made before the TOML library sees a file.
#include <array>

#include "config/document.hpp"
#include "config/text.hpp"

namespace understudy::config {
namespace {

constexpr std::size_t largest_file = std::size_t{16} * 1024 * 1024;
constexpr unsigned deepest_nesting = 32;
constexpr unsigned longest_dotted_key = 16;

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// A walk over the text that knows strings and comments, nothing else of TOML.
class ShapeScan {
public:
  explicit ShapeScan(std::string_view text) : text_(text) {}

  // Where it nests too deeply, and how; npos when nowhere.
  std::size_t run(const char*& what) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        skip_string(c);
        continue;
      }
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
        continue;
      }
      if (c == '[' || c == '{') ++depth_;
      if ((c == ']' || c == '}') && depth_ > 0) --depth_;
      if (c == '.') {
        ++dots_;
      } else if (c == '\n' || c == '=' || c == ',' || c == '[' || c == '{') {
        dots_ = 0;
      }
      if (depth_ > deepest_nesting) return what = "values nest more than 32 levels deep", at_;
      if (dots_ > longest_dotted_key) return what = "a key has more than 16 dots", at_;
      ++at_;
    }
    return std::string_view::npos;
  }

private:
  void skip_string(char quote) {
    const std::string_view three = quote == '"' ? "\"\"\"" : "'''";
    const bool multi_line = text_.substr(at_, 3) == three;
    at_ += multi_line ? 3 : 1;
    while (at_ < text_.size()) {
      if (quote == '"' && text_[at_] == '\\') {
        at_ += 2;
      } else if (multi_line && text_.substr(at_, 3) == three) {
        at_ += 3;
        return;
      } else if (!multi_line && (text_[at_] == quote || text_[at_] == '\n')) {
        ++at_;
        return;
      } else {
        ++at_;
      }
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  unsigned depth_ = 0;
  unsigned dots_ = 0;
};

void place_at(std::string_view text, std::size_t offset, Diagnostic& failure) {
  std::size_t start = text.substr(0, 3) == "\xef\xbb\xbf" ? 3 : 0;
  failure.line = 1;
  for (std::size_t i = start; i < offset; ++i) {
    if (text[i] == '\n') {
      ++failure.line;
      start = i + 1;
    }
  }
  failure.column = static_cast<std::uint32_t>(code_points(text.substr(start, offset - start)) + 1);
}

// Byte offset of a 1-based column in code points.
std::size_t byte_of_column(std::string_view line, std::uint32_t column) {
  std::size_t at = 0;
  for (std::uint32_t i = 1; i < column && at < line.size(); ++i) {
    ++at;
    while (at < line.size() && (static_cast<unsigned char>(line[at]) & 0xc0U) == 0x80U) ++at;
  }
  return at;
}

struct Token {
  std::string_view text;
  std::uint32_t column = 0;
};

// The bare word around a column: what somebody meant as one value.
Token token_at(std::string_view line, std::uint32_t column) {
  constexpr std::string_view stop_left = " \t=,[{";
  constexpr std::string_view stop_right = " \t,]}#";
  std::size_t begin = byte_of_column(line, column);
  std::size_t end = begin;
  while (begin > 0 && stop_left.find(line[begin - 1]) == std::string_view::npos) --begin;
  while (end < line.size() && stop_right.find(line[end]) == std::string_view::npos) ++end;
  return {line.substr(begin, end - begin), static_cast<std::uint32_t>(code_points(line.substr(0, begin)) + 1)};
}

// What stands between the last pair of single quotes: the name in "cannot redefine existing table 'x'".
std::string_view last_quoted(std::string_view text) {
  const std::size_t end = text.rfind('\'');
  if (end == std::string_view::npos || end == 0) return {};
  const std::size_t begin = text.rfind('\'', end - 1);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin + 1, end - begin - 1);
}

std::string_view first_quoted(std::string_view text) {
  const std::size_t begin = text.find('\'');
  if (begin == std::string_view::npos) return {};
  const std::size_t end = text.find('\'', begin + 1);
  if (end == std::string_view::npos) return {};
  return text.substr(begin + 1, end - begin - 1);
}

// The line of the first "[name]" header, 0 when it was not found.
std::size_t first_header(std::string_view text, std::string_view name) {
  const std::string header = "[" + std::string(name) + "]";
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    const std::size_t indent = line.find_first_not_of(" \t");
    if (indent != std::string_view::npos && line.substr(indent, header.size()) == header) return number;
    if (end == std::string_view::npos) return 0;
    text.remove_prefix(end + 1);
  }
  return 0;
}

void say(Diagnostic& failure, std::string message, std::string hint = "") {
  failure.message = std::move(message);
  failure.hint = std::move(hint);
}

bool unquoted_value(std::string_view line, Diagnostic& failure) {
  const Token token = token_at(line, failure.column);
  if (token.text.empty() || token.text.find('"') != std::string_view::npos) return false;
  failure.column = token.column;
  failure.width = static_cast<std::uint32_t>(code_points(token.text));
  const std::string shown = printable(token.text, 40);
  if (token.text == "yes" || token.text == "on" || token.text == "True" || token.text == "TRUE") {
    say(failure, "'" + shown + "' is not a TOML value", "write true");
  } else if (token.text == "no" || token.text == "off" || token.text == "False" || token.text == "FALSE") {
    say(failure, "'" + shown + "' is not a TOML value", "write false, or \"" + shown + "\" as a string");
  } else if (token.text.front() >= '0' && token.text.front() <= '9') {
    say(failure, "'" + shown + "' needs quotes", "write \"" + shown + "\"");
  } else {
    say(failure, "text needs quotes", "write \"" + shown + "\"");
  }
  return true;
}

void redefinition(std::string_view description, std::string_view text, std::string_view line, Diagnostic& failure) {
  const bool header = contains(description, "table header");
  const std::string_view name =
      header && contains(description, " as ") ? first_quoted(description) : last_quoted(description);
  const std::string shown = printable(name);
  const std::size_t indent = line.find_first_not_of(" \t");
  if (header && indent != std::string_view::npos) {
    failure.column = static_cast<std::uint32_t>(indent + 1);
    const std::size_t end = line.find(']');
    if (end != std::string_view::npos)
      failure.width = static_cast<std::uint32_t>(code_points(line.substr(indent, end + 1 - indent)));
  }
  if (header && contains(description, "existing array")) {
    say(failure, "[" + shown + "] is a list of tables here", "write [[" + shown + "]]");
  } else if (header) {
    const std::size_t first = first_header(text, name);
    say(failure, "[" + shown + "] is defined twice",
        first != 0 && first < failure.line ? "first at line " + std::to_string(first) : "");
  } else {
    const std::size_t at = line.substr(0, byte_of_column(line, failure.column)).rfind(name);
    if (!name.empty() && at != std::string_view::npos) {
      failure.column = static_cast<std::uint32_t>(code_points(line.substr(0, at)) + 1);
      failure.width = static_cast<std::uint32_t>(code_points(name));
    }
    say(failure, "'" + shown + "' is given twice", "remove one of the two");
  }
}

struct Translation {
  std::string_view all_of[2];
  std::string_view message;
  std::string_view hint;
};

// The first row of which both parts occur applies.
constexpr std::array<Translation, 19> translations{{
    {{"dangling comma", ""}, "comma before '}' in an inline table", "remove the comma"},
    {{"parsing inline table", "saw '\\n'"},
     "an inline table must stand on one line",
     "close it with '}' or write a [table]"},
    {{"parsing inline table", "saw '\\r'"},
     "an inline table must stand on one line",
     "close it with '}' or write a [table]"},
    {{"parsing inline table", "end-of-file"}, "inline table not closed", "add '}'"},
    {{"parsing inline table", "expected comma"}, "missing comma in an inline table", ""},
    {{"parsing array", "end-of-file"}, "array not closed", "add ']'"},
    {{"parsing array", "saw comma"}, "comma without a value before it in an array", "remove the comma"},
    {{"parsing array", "expected comma"}, "missing comma in an array", ""},
    {{"string", "end-of-file"}, "string not closed", "add the closing quote"},
    {{"utf-8", ""}, "the file is not valid UTF-8 here", "save it as UTF-8"},
    {{"surrogates", ""}, "the escape names no Unicode character", ""},
    {{"parsing table header", "expected ']'"}, "table header not closed", "add ']'"},
    {{"parsing table header", "end-of-file"}, "table header not closed", "add ']'"},
    {{"parsing table header", "blank"}, "table header without a name", ""},
    {{"expected a comment or whitespace", ""}, "unexpected text after the value", "write one key = value on a line"},
    {{"expected '='", "saw ':'"}, "expected '=' after the key", "write '=' instead of ':'"},
    {{"expected '='", ""}, "expected '=' after the key", "write key = value"},
    {{"not representable", ""}, "the number is too large", ""},
    {{"parsing key-value pair", "end-of-file"}, "key without a value", "write key = value"},
}};

bool by_table(std::string_view description, Diagnostic& failure) {
  for (const Translation& row : translations) {
    if (!contains(description, row.all_of[0]) || !contains(description, row.all_of[1])) continue;
    say(failure, std::string(row.message), std::string(row.hint));
    return true;
  }
  return false;
}

}  // namespace

bool check_shape(std::string_view text, Diagnostic& failure) {
  if (text.size() > largest_file) {
    say(failure, "the file is larger than 16 MiB");
    return false;
  }
  const char* what = "";
  const std::size_t offset = ShapeScan(text).run(what);
  if (offset == std::string_view::npos) return true;
  place_at(text, offset, failure);
  say(failure, what);
  return false;
}

void translate_syntax_error(std::string_view description, std::string_view text, Diagnostic& failure) {
  const std::string_view line = line_of(text, failure.line);
  if (contains(description, "cannot redefine")) return redefinition(description, text, line, failure);
  if (contains(description, "unknown escape sequence")) {
    return say(failure, "unknown escape sequence in a string", "write '\\\\' for a backslash, or use single quotes");
  }
  if (contains(description, "parsing string") && contains(description, "control characters")) {
    if (byte_of_column(line, failure.column) < line.size())
      return say(failure, "control character in a string", "write it as an escape such as \"\\u0007\"");
    return say(failure, "string not closed", "add the closing quote");
  }
  if (contains(description, "literal string") && contains(description, "control characters")) {
    if (byte_of_column(line, failure.column) < line.size()) return say(failure, "control character in a string", "");
    return say(failure, "string not closed", "add the closing quote");
  }
  const std::size_t at = byte_of_column(line, failure.column);
  if (contains(description, "expected '='") && at < line.size() && static_cast<unsigned char>(line[at]) >= 0x80) {
    return say(failure, "a key with other letters than a to z", "put it in quotes");
  }
  if (contains(description, "bare key starting character")) {
    return say(failure, "a key or a name must stand here", "it has letters, digits, '-' and '_'; others need quotes");
  }
  if (by_table(description, failure)) return;
  for (const std::string_view part : {"parsing decimal integer", "could not determine value type", "parsing boolean",
                                      "parsing floating-point", "parsing time", "parsing date", "integer"}) {
    if (contains(description, part) && unquoted_value(line, failure)) return;
  }
  const std::size_t colon = description.find(": ");
  const std::string_view reason = colon == std::string_view::npos ? description : description.substr(colon + 2);
  say(failure, "syntax error: " + printable(reason, 200));
}

}  // namespace understudy::config
