// Random numbers of one worker: for identifiers and for choosing among equals, never for secrets. xoshiro256++ (Blackman and
// Vigna): four words of state, a dozen instructions.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <random>

namespace understudy::net {

class Random {
public:
  Random() {
    std::random_device device;
    for (auto& word : state_) word = std::uint64_t{device()} << 32 | device();
    state_[0] |= 1;  // never all zeros
  }
  std::uint64_t operator()() {
    const std::uint64_t out = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return out;
  }

private:
  std::array<std::uint64_t, 4> state_;
};

}  // namespace understudy::net
