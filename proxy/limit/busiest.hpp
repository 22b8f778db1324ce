// Who asks most: a bounded sketch of clients and how often each came. Whoever takes another's place begins with its count, which is
// known not to be its own: what is told is never more than it was, and a little less at most.
#pragma once

#include <array>
#include <cstdint>

#include "config/address.hpp"
#include "proxy/limit/address_counter.hpp"

namespace understudy::limit {

class Busiest {
public:
  static constexpr std::size_t kPlaces = 16;

  // `key`: client_number() of the address. Its name is made when it is told, not here.
  void add(std::uint64_t key, const config::SocketAddress& client) {
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
    families_[least] = client.family;
    addresses_[least] = client.ip;
  }
  void clear() { used_ = 0; }

  // f(name, count) for everyone in it, by client_name().
  template <typename F>
  void each(F f) const {
    for (std::size_t i = 0; i < used_; ++i) {
      config::SocketAddress client;
      client.family = families_[i];
      client.ip = addresses_[i];
      f(client_name(client), counts_[i] - inherited_[i]);
    }
  }

private:
  std::array<std::uint64_t, kPlaces> keys_{};
  std::array<std::uint64_t, kPlaces> counts_{}, inherited_{};
  std::array<config::SocketAddress::Family, kPlaces> families_{};
  std::array<std::array<std::uint8_t, 16>, kPlaces> addresses_{};
  std::size_t used_ = 0;
};

}  // namespace understudy::limit
