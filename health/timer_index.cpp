#include "health/timer_index.hpp"

namespace understudy::health {

// Equal deadlines go by key, so that a run does not depend on the history of the heap.
bool TimerIndex::before(const Entry& a, const Entry& b) {
  return a.deadline != b.deadline ? a.deadline < b.deadline : a.key < b.key;
}

void TimerIndex::set(Key key, std::optional<TimePoint> deadline) {
  if (key >= position_.size()) {
    if (!deadline) return;
    position_.resize(key + 1, 0);
  }
  if (position_[key] == 0) {
    if (!deadline) return;
    heap_.push_back({*deadline, key});
    position_[key] = static_cast<std::uint32_t>(heap_.size());
    sift_up(heap_.size() - 1);
    return;
  }
  const std::size_t at = position_[key] - 1;
  if (!deadline) {
    remove(at);
    return;
  }
  heap_[at].deadline = *deadline;
  sift_up(at);
  sift_down(position_[key] - 1);
}

std::optional<TimePoint> TimerIndex::next() const {
  if (heap_.empty()) return std::nullopt;
  return heap_.front().deadline;
}

std::optional<TimerIndex::Key> TimerIndex::pop_due(TimePoint now) {
  if (heap_.empty() || heap_.front().deadline > now) return std::nullopt;
  const Key key = heap_.front().key;
  remove(0);
  return key;
}

void TimerIndex::clear() {
  heap_.clear();
  position_.clear();
}

void TimerIndex::place(std::size_t at, const Entry& entry) {
  heap_[at] = entry;
  position_[entry.key] = static_cast<std::uint32_t>(at + 1);
}

void TimerIndex::sift_up(std::size_t at) {
  const Entry entry = heap_[at];
  while (at > 0) {
    const std::size_t parent = (at - 1) / 2;
    if (!before(entry, heap_[parent])) break;
    place(at, heap_[parent]);
    at = parent;
  }
  place(at, entry);
}

void TimerIndex::sift_down(std::size_t at) {
  const Entry entry = heap_[at];
  while (true) {
    std::size_t child = 2 * at + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) ++child;
    if (!before(heap_[child], entry)) break;
    place(at, heap_[child]);
    at = child;
  }
  place(at, entry);
}

void TimerIndex::remove(std::size_t at) {
  position_[heap_[at].key] = 0;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (at == heap_.size()) return;
  place(at, last);
  sift_up(at);
  sift_down(position_[last.key] - 1);
}

}  // namespace understudy::health
