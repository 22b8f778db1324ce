#include "proxy/probe/words.hpp"

#include "proxy/observe/escape.hpp"

namespace understudy::probe {

std::string printable(std::string_view text, std::size_t limit) {
  constexpr std::string_view kCut = "...";
  std::size_t size = text.size();
  const bool cut = size > limit;
  if (cut) {
    size = limit - kCut.size();
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  }
  std::string out;
  observe::append_clean_text(out, text.substr(0, size));
  if (cut) out += kCut;
  return out;
}

std::string duration_text(std::chrono::nanoseconds value, std::chrono::milliseconds usual) {
  using std::chrono::milliseconds;
  auto ms = std::chrono::round<milliseconds>(value);
  const auto off = ms > usual ? ms - usual : usual - ms;
  if (off <= milliseconds(20)) ms = usual;
  const auto n = ms.count();
  if (n < 1000) return std::to_string(n) + "ms";
  std::string text = std::to_string(n / 1000);
  if (n % 1000 != 0) {
    std::string part = std::to_string(1000 + n % 1000).substr(1);
    while (part.back() == '0') part.pop_back();
    text.append(".").append(part);
  }
  return text + "s";
}

std::string ranges_text(const std::vector<config::StatusRange>& ranges) {
  std::string text;
  for (const auto& range : ranges) {
    if (!text.empty()) text += ", ";
    text += std::to_string(range.low);
    if (range.high != range.low) text.append("-").append(std::to_string(range.high));
  }
  return text;
}

}  // namespace understudy::probe
