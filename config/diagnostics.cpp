// Diagnostics for people and for editors.
#include <algorithm>

#include "config/load.hpp"
#include "config/text.hpp"

namespace understudy::config {
namespace {

constexpr std::size_t most_shown = 20;
constexpr std::size_t widest_line = 120;  // code points of a source line that are shown

const char* word(Severity severity) { return severity == Severity::error ? "error" : "warning"; }

// A line that holds a token is shown up to its value only.
std::string without_secret(std::string_view line) {
  for (std::size_t at = line.find("token"); at != std::string_view::npos; at = line.find("token", at + 1)) {
    const std::size_t equals = line.find_first_not_of(" \t\"'", at + 5);
    if (equals != std::string_view::npos && line[equals] == '=')
      return std::string(line.substr(0, equals + 1)) + " ***";
  }
  return std::string(line);
}

// The lines of a text, found once: rendering many diagnostics must not scan it again for each.
class Lines {
public:
  explicit Lines(std::string_view text) {
    if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);
    while (true) {
      const std::size_t end = text.find('\n');
      lines_.push_back(text.substr(0, end));
      if (!lines_.back().empty() && lines_.back().back() == '\r') lines_.back().remove_suffix(1);
      if (end == std::string_view::npos) return;
      text.remove_prefix(end + 1);
    }
  }
  std::string_view at(std::size_t number) const {
    return number >= 1 && number <= lines_.size() ? lines_[number - 1] : std::string_view();
  }

private:
  std::vector<std::string_view> lines_;
};

// Takes the code points [from, from + count) of a text; tabs become spaces so that the caret stands right.
std::string window(std::string_view text, std::size_t from, std::size_t count) {
  std::string flat = printable(text, text.size());
  for (std::size_t i = 0, at = 0; i < text.size() && at < flat.size(); ++i, ++at) {
    if (text[i] == '\t' && flat[at] == '?') flat[at] = ' ';
  }
  std::string out;
  std::size_t index = 0;
  for (const char c : flat) {
    const bool starts = (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
    if (starts) ++index;
    if (index > from && index <= from + count) out += c;
  }
  return out;
}

void render_one(const Diagnostic& diagnostic, const Lines& lines, std::string& out) {
  out += diagnostic.file;
  if (diagnostic.line == 0) {
    out += std::string(": ") + word(diagnostic.severity) + ": " + diagnostic.message + "\n";
    if (!diagnostic.hint.empty()) out += "     | " + diagnostic.hint + "\n";
    return;
  }
  out += ":" + std::to_string(diagnostic.line) + ":" + std::to_string(diagnostic.column) + ": " +
         word(diagnostic.severity) + ": " + diagnostic.message + "\n";
  const std::string number = std::to_string(diagnostic.line);
  const std::string margin(number.size() < 5 ? 5 - number.size() : 0, ' ');
  const std::string line = without_secret(lines.at(diagnostic.line));
  const std::size_t column = std::max<std::size_t>(diagnostic.column, 1);
  const std::size_t length = code_points(line);
  const std::size_t from = column > widest_line ? column - widest_line / 2 : 0;
  out += margin + number + " | " + window(line, from, widest_line) + "\n";
  const std::size_t indent = std::min(column - 1, length) - std::min(from, std::min(column - 1, length));
  const std::size_t room = length > column - 1 ? length - (column - 1) : 1;
  const std::size_t width = std::max<std::size_t>(
      1, std::min({static_cast<std::size_t>(diagnostic.width), room, widest_line - std::min(indent, widest_line - 1)}));
  out += std::string(std::max<std::size_t>(number.size(), 5), ' ') + " | " + std::string(indent, ' ') +
         std::string(width, '^');
  out += diagnostic.hint.empty() ? "\n" : " " + diagnostic.hint + "\n";
}

}  // namespace

std::string render(const std::vector<Diagnostic>& diagnostics, std::string_view text) {
  std::string out;
  const Lines lines(text);
  const std::size_t shown = std::min(diagnostics.size(), most_shown);
  for (std::size_t i = 0; i < shown; ++i) render_one(diagnostics[i], lines, out);
  const std::size_t rest = diagnostics.size() - shown;
  if (rest > 0) out += "and " + std::to_string(rest) + " more\n";
  return out;
}

std::string render_json(const std::vector<Diagnostic>& diagnostics) {
  std::string out = "[";
  for (const Diagnostic& diagnostic : diagnostics) {
    if (out.size() > 1) out += ",";
    out += "\n  {\"severity\": " + json_string(word(diagnostic.severity)) +
           ", \"file\": " + json_string(diagnostic.file) + ", \"line\": " + std::to_string(diagnostic.line) +
           ", \"column\": " + std::to_string(diagnostic.column) + ", \"width\": " + std::to_string(diagnostic.width) +
           ", \"message\": " + json_string(diagnostic.message) + ", \"hint\": " + json_string(diagnostic.hint) + "}";
  }
  return out + (diagnostics.empty() ? "]\n" : "\n]\n");
}

}  // namespace understudy::config
