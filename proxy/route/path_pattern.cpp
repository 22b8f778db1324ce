#include "proxy/route/path_pattern.hpp"

#include <algorithm>
#include <optional>

#include "proxy/route/path_reading.hpp"

namespace understudy::route {
namespace {

// The spelling that read_path() gives to the same text.
std::string decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int value = text[i] == '%' ? decode_escape(text, i) : -1;
    if (value < 0) {
      out += text[i];
    } else {
      if (value == '/') {
        out += "%2f";
      } else {
        out += static_cast<char>(value);
      }
      i += 2;
    }
  }
  return out;
}

// Calls each(part) for the parts of `text` between separators, in order; at least one.
template <class Each>
void split(std::string_view text, char separator, Each each) {
  std::size_t start = 0;
  for (;;) {
    const auto end = text.find(separator, start);
    each(text.substr(start, end == std::string_view::npos ? end : end - start));
    if (end == std::string_view::npos) return;
    start = end + 1;
  }
}

bool has_star(std::string_view text) { return text.find('*') != std::string_view::npos; }

}  // namespace

PathPattern::PathPattern(std::string_view rule) {
  if (rule.empty() || rule == "/*" || rule == "/**" || rule == "*") return;
  if (!has_star(rule)) {
    kind_ = Kind::exact;
    text_ = decode(rule);
    return;
  }
  if (rule.ends_with("/*") && !has_star(rule.substr(0, rule.size() - 2))) {
    kind_ = Kind::prefix;
    text_ = decode(rule.substr(0, rule.size() - 2));
    return;
  }
  kind_ = Kind::glob;
  if (rule.front() == '/') rule.remove_prefix(1);
  split(rule, '/', [&](std::string_view part) {
    Segment& segment = segments_.emplace_back();
    segment.many = part == "**";
    if (!segment.many) split(part, '*', [&](std::string_view piece) { segment.pieces.push_back(decode(piece)); });
  });
  if (rule.ends_with("/*")) segments_.back().many = true;
}

std::string PathPattern::literal() const {
  if (kind_ != Kind::glob) return text_;
  std::string out;
  for (const Segment& segment : segments_) {
    if (segment.many || segment.pieces.size() != 1) break;
    out += '/' + segment.pieces.front();
  }
  return out;
}

bool PathPattern::Segment::matches(std::string_view text) const {
  if (pieces.size() == 1) return text == pieces.front();
  if (pieces.size() == 2 && pieces[0].empty() && pieces[1].empty()) return !text.empty();
  if (!text.starts_with(pieces.front())) return false;
  text.remove_prefix(pieces.front().size());
  if (!text.ends_with(pieces.back())) return false;
  text.remove_suffix(pieces.back().size());
  for (std::size_t i = 1; i + 1 < pieces.size(); ++i) {
    const auto at = text.find(pieces[i]);
    if (at == std::string_view::npos) return false;
    text.remove_prefix(at + pieces[i].size());
  }
  return true;
}

bool PathPattern::matches(std::string_view path) const {
  switch (kind_) {
    case Kind::any: return true;
    case Kind::exact: return path == text_;
    case Kind::prefix: return path.starts_with(text_) && (path.size() == text_.size() || path[text_.size()] == '/');
    case Kind::glob: return matches_glob(path);
  }
  return false;
}

// Walks both segment by segment and remembers only the last "**": going back further can never help, so the
// work is at most segments of the path times segments of the rule.
bool PathPattern::matches_glob(std::string_view path) const {
  if (path.empty() || path.front() != '/') return false;
  const auto end_of = [&](std::size_t at) { return std::min(path.find('/', at), path.size()); };
  const std::size_t past = path.size() + 1;  // "position" behind the last segment
  std::size_t at = 1, rule = 0;
  std::optional<std::size_t> many_rule;
  std::size_t many_at = 0;
  for (;;) {
    if (rule < segments_.size() && segments_[rule].many) {
      if (rule + 1 == segments_.size()) return true;
      many_rule = rule++;
      many_at = at;
      continue;
    }
    if (at == past && rule == segments_.size()) return true;
    if (at != past && rule < segments_.size()) {
      const std::size_t end = end_of(at);
      if (segments_[rule].matches(path.substr(at, end - at))) {
        at = end + 1;
        ++rule;
        continue;
      }
    }
    if (!many_rule || many_at == past) return false;
    many_at = end_of(many_at) + 1;
    at = many_at;
    rule = *many_rule + 1;
  }
}

}  // namespace understudy::route
