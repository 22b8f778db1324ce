#include "proxy/limit/opening_queue.hpp"

#include <algorithm>
#include <iterator>

namespace understudy::limit {

OpeningQueue::Pushed OpeningQueue::push(Key key, Token token) {
  Pushed out;
  if (capacity_ == 0) return out;
  if (size() >= capacity_) {
    const auto own = lines_.find(key);
    const std::size_t mine = own != lines_.end() ? own->second.tokens.size() : 0;
    const auto [most, longest] = *by_length_.rbegin();
    if (mine + 1 >= most) return out;
    const auto line = lines_.find(longest);
    out.displaced = take(line, std::prev(line->second.tokens.end()));
  }
  const auto [line, fresh] = lines_.try_emplace(key);
  if (fresh) line->second.turn = turns_.insert(turns_.end(), key);
  add(line, token);
  out.queued = true;
  return out;
}

std::optional<OpeningQueue::Token> OpeningQueue::pop() {
  if (turns_.empty()) return std::nullopt;
  turns_.splice(turns_.end(), turns_, turns_.begin());  // the next address is next
  const auto line = lines_.find(turns_.back());
  return take(line, line->second.tokens.begin());
}

void OpeningQueue::remove(Token token) {
  const auto waiter = waiting_.find(token);
  if (waiter != waiting_.end()) take(lines_.find(waiter->second.key), waiter->second.place);
}

void OpeningQueue::add(Lines::iterator line, Token token) {
  auto& tokens = line->second.tokens;
  if (!tokens.empty()) by_length_.erase({tokens.size(), line->first});
  waiting_.emplace(token, Waiter{line->first, tokens.insert(tokens.end(), token)});
  by_length_.emplace(tokens.size(), line->first);
}

OpeningQueue::Token OpeningQueue::take(Lines::iterator line, std::list<Token>::iterator place) {
  const Token token = *place;
  auto& tokens = line->second.tokens;
  by_length_.erase({tokens.size(), line->first});
  tokens.erase(place);
  waiting_.erase(token);
  if (tokens.empty()) {
    turns_.erase(line->second.turn);
    lines_.erase(line);
  } else {
    by_length_.emplace(tokens.size(), line->first);
  }
  return token;
}

ReturnTimes::Duration ReturnTimes::next(TimePoint now, std::size_t ahead, double rate) {
  constexpr double kLeastRate = 0.5;
  const auto apart = Duration(static_cast<Duration::rep>(1e9 / std::max(rate, kLeastRate)));
  const TimePoint first = now + std::min<Duration>(apart * static_cast<Duration::rep>(ahead), kMost);
  last_ = std::max(last_ + apart, first + apart);
  if (last_ > now + kMost) last_ = first + apart;  // once more through the window, rather than all at its end
  return last_ - now;
}

}  // namespace understudy::limit
