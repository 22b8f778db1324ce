#include "proxy/limit/opening_queue.hpp"

#include <algorithm>

namespace understudy::limit {

OpeningQueue::Pushed OpeningQueue::push(Key key, Token token, TimePoint now) {
  Pushed out;
  if (capacity_ == 0) return out;
  if (size_ >= capacity_) {
    const auto longest = std::max_element(
        lines_.begin(), lines_.end(), [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
    const auto own = lines_.find(key);
    const std::size_t mine = own != lines_.end() ? own->second.size() : 0;
    if (mine + 1 >= longest->second.size()) return out;
    out.displaced = longest->second.back().token;
    longest->second.pop_back();
    --size_;
  }
  Line& line = lines_[key];
  if (line.empty()) turns_.push_back(key);
  line.push_back({token, now});
  ++size_;
  out.queued = true;
  return out;
}

std::optional<OpeningQueue::Token> OpeningQueue::pop() {
  if (turns_.empty()) return std::nullopt;
  const Key key = turns_.front();
  turns_.pop_front();
  const auto line = lines_.find(key);
  const Token token = line->second.front().token;
  line->second.pop_front();
  --size_;
  if (line->second.empty()) {
    lines_.erase(line);
  } else {
    turns_.push_back(key);
  }
  return token;
}

void OpeningQueue::drop_turn(Key key) {
  lines_.erase(key);
  turns_.erase(std::find(turns_.begin(), turns_.end(), key));
}

void OpeningQueue::remove(Key key, Token token) {
  const auto line = lines_.find(key);
  if (line == lines_.end()) return;
  const auto it =
      std::find_if(line->second.begin(), line->second.end(), [token](const Waiter& w) { return w.token == token; });
  if (it == line->second.end()) return;
  line->second.erase(it);
  --size_;
  if (line->second.empty()) drop_turn(key);
}

std::vector<OpeningQueue::Token> OpeningQueue::expired(TimePoint now) {
  std::vector<Token> out;
  for (std::size_t i = 0; i < turns_.size();) {
    const auto line = lines_.find(turns_[i]);
    while (!line->second.empty() && now - line->second.front().since >= max_wait_) {
      out.push_back(line->second.front().token);
      line->second.pop_front();
      --size_;
    }
    if (line->second.empty()) {
      lines_.erase(line);
      turns_.erase(turns_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  return out;
}

std::optional<OpeningQueue::TimePoint> OpeningQueue::next_expiry() const {
  std::optional<TimePoint> next;
  for (const auto& [key, line] : lines_) {
    const TimePoint due = line.front().since + max_wait_;
    next = next ? std::min(*next, due) : due;
  }
  return next;
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
