// Who asks most: a bounded sketch of names (client addresses) and how often each came. Whoever takes another's place begins
// with its count, which is known not to be its own: what is told is never more than it was, and a little less at most.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace understudy::limit {

class Busiest {
public:
  static constexpr std::size_t kPlaces = 16;
  static constexpr std::size_t kLongest = 48;  // of a name; what is longer is cut

  // `key` stands for the name: equal names have equal keys.
  void add(std::uint64_t key, std::string_view name) {
    std::size_t least = 0;
    for (std::size_t i = 0; i < used_; ++i) {
      if (keys_[i] == key) {
        ++counts_[i];
        return;
      }
      if (counts_[i] < counts_[least]) least = i;
    }
    if (used_ < kPlaces) {
      least = used_++;
      counts_[least] = 0;
    }
    inherited_[least] = counts_[least]++;
    keys_[least] = key;
    lengths_[least] = static_cast<std::uint8_t>(std::min(name.size(), kLongest));
    std::copy_n(name.begin(), lengths_[least], names_[least].begin());
  }
  void clear() { used_ = 0; }

  // f(name, count) for everyone in it.
  template <typename F>
  void each(F f) const {
    for (std::size_t i = 0; i < used_; ++i)
      f(std::string_view(names_[i].data(), lengths_[i]), counts_[i] - inherited_[i]);
  }

private:
  std::array<std::uint64_t, kPlaces> keys_{};
  std::array<std::uint64_t, kPlaces> counts_{}, inherited_{};
  std::array<std::array<char, kLongest>, kPlaces> names_{};
  std::array<std::uint8_t, kPlaces> lengths_{};
  std::size_t used_ = 0;
};

}  // namespace understudy::limit
