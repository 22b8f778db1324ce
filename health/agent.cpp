#include "health/agent.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

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

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Complaints are of one kind if they differ in nothing but what is quoted of the answer: a babbling agent says something new
// each time, and that is no news.
bool same_kind(std::string_view a, std::string_view b) {
  return a.substr(0, a.find('\'')) == b.substr(0, b.find('\''));
}

// Of the configured weight; all of it at most.
std::optional<double> percent(std::string_view word) {
  if (word.empty() || word.back() != '%' || !all_digits(word.substr(0, word.size() - 1))) return std::nullopt;
  unsigned value = 0;
  const auto result = std::from_chars(word.data(), word.data() + word.size() - 1, value);
  if (result.ec == std::errc::result_out_of_range) return 1;
  return std::min(value, 100U) / 100.0;
}

// How many connections HAProxy may open to it: ours are bounded by other means.
bool is_maxconn(std::string_view word) {
  constexpr std::string_view name = "maxconn:";
  return word.substr(0, name.size()) == name && all_digits(word.substr(name.size()));
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
    } else if (!is_maxconn(word)) {
      return miss("its answer has the word '" + printable(word) + "', which is not understood");
    }
  }
  if (!any) return miss("its answer is empty");
  const bool changed = next.state() != state() || next.share_ != share_ || next.complaint_ != complaint_;
  next.heard_at_ = now;
  *this = std::move(next);
  return changed;
}

bool Agent::miss(const std::string& why) { return !same_kind(std::exchange(complaint_, why), why); }

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
