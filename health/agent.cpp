#include "health/agent.hpp"

#include <algorithm>
#include <charconv>

namespace understudy::health {
namespace {

constexpr std::size_t longest_reason = 100;
constexpr std::string_view separators = " \t,\r\n";

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

std::string printable(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(separators), text.size()));
  std::string out(text.substr(0, std::min(text.find_last_not_of(separators) + 1, longest_reason)));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

std::optional<double> percent(std::string_view word) {
  if (word.size() < 2 || word.back() != '%') return std::nullopt;
  unsigned value = 0;
  const auto result = std::from_chars(word.data(), word.data() + word.size() - 1, value);
  if (result.ec != std::errc() || result.ptr != word.data() + word.size() - 1 || value > 100) return std::nullopt;
  return value / 100.0;
}

}  // namespace

bool Agent::take(std::string_view text, TimePoint now) {
  const auto hash = text.find('#');
  std::string_view words = text.substr(0, hash);
  Agent next = *this;
  next.reason_ = hash == std::string_view::npos ? "" : printable(text.substr(hash + 1));
  next.complaint_.clear();
  bool any = false;
  for (auto from = words.find_first_not_of(separators); from != std::string_view::npos;
       from = words.find_first_not_of(separators, from)) {
    const auto end = std::min(words.find_first_of(separators, from), words.size());
    const std::string word = lowered(words.substr(from, end - from));
    from = end;
    any = true;
    if (const auto share = percent(word)) {
      next.share_ = *share;
    } else if (word == "up") {
      next.down_ = false;
    } else if (word == "ready") {
      next.drain_ = next.maintenance_ = false;
    } else if (word == "drain") {
      next.drain_ = true;
    } else if (word == "maint") {
      next.maintenance_ = true;
    } else if (word == "down" || word == "failed" || word == "fail" || word == "stopped") {
      next.down_ = true;
    } else {
      return miss("its answer has the word '" + printable(word) + "', which is not understood");
    }
  }
  if (!any) return miss("its answer is empty");
  const bool changed = next.state() != state() || next.share_ != share_ || next.complaint_ != complaint_;
  next.heard_at_ = now;
  *this = std::move(next);
  return changed;
}

bool Agent::miss(const std::string& why) {
  const bool news = complaint_ != why;
  complaint_ = why;
  return news;
}

std::string_view name_of(Agent::State state) {
  switch (state) {
    case Agent::State::ready: return "ready";
    case Agent::State::drain: return "drain";
    case Agent::State::maintenance: return "maint";
    case Agent::State::down: return "down";
  }
  return "?";
}

}  // namespace understudy::health
