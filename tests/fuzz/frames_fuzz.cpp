// WebSocket frames: whole, in two pieces and byte by byte give the same verdict, which is that of a plain reader of the whole;
// and nothing invalid is ever offered to be passed on.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "tests/exchange/frame_oracle.hpp"

using namespace understudy::exchange;

namespace {

void check(std::string_view text, const std::vector<std::size_t>& ends, const FrameTracker::Rules& rules,
           const oracle::Reading& expected) {
  FrameTracker tracker(rules);
  std::size_t at = 0;
  for (const std::size_t end : ends) {
    const std::size_t safe = tracker.feed(text.data() + at, end - at);
    if (safe > end - at || at + safe > std::max(at, expected.good)) std::abort();
    at = end;
    if (tracker.error() != FrameError::none) break;
    const bool boundary = std::binary_search(expected.starts.begin(), expected.starts.end(), at);
    if (tracker.at_boundary() != boundary) std::abort();
    if (tracker.at_message_boundary() && !boundary) std::abort();
  }
  if (tracker.error() != expected.error || tracker.close_seen() != expected.close) std::abort();
  if (tracker.close_code() != expected.code || tracker.messages() != expected.messages.size()) std::abort();
  if (at == text.size() && tracker.at_boundary() &&
      tracker.at_message_boundary() == (expected.in_message && expected.error == FrameError::none))
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  FrameTracker::Rules rules;
  rules.sender = static_cast<FrameTracker::Sender>(data[1] % 3);
  rules.reserved = static_cast<FrameTracker::Reserved>(data[1] / 3 % 3);
  if ((data[1] & 0x80) != 0) rules.max_message = data[1] & 0x7f;
  const oracle::Reading expected = oracle::read(text, rules);
  check(text, {text.size()}, rules, expected);
  check(text, {text.size() * data[0] / 256, text.size()}, rules, expected);
  std::vector<std::size_t> each;
  for (std::size_t i = 1; i <= text.size(); ++i) each.push_back(i);
  check(text, each, rules, expected);
  return 0;
}
