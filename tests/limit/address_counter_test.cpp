#include "proxy/limit/address_counter.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace understudy::limit {
namespace {

using config::SocketAddress;

SocketAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d, std::uint16_t port = 1000) {
  SocketAddress out;
  out.family = SocketAddress::Family::v4;
  out.ip = {a, b, c, d};
  out.port = port;
  return out;
}
SocketAddress v6(const std::array<std::uint8_t, 16>& bytes) {
  SocketAddress out;
  out.family = SocketAddress::Family::v6;
  out.ip = bytes;
  return out;
}

TEST(AddressCounter, AdmitsUpToTheLimitPerAddress) {
  AddressCounter counter(3, 100, 1);
  const auto client = v4(10, 0, 0, 1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(counter.acquire(client), Admission::admitted);
  EXPECT_EQ(counter.acquire(client), Admission::over_limit);
  EXPECT_EQ(counter.acquire(v4(10, 0, 0, 2)), Admission::admitted);
  EXPECT_EQ(counter.count(client), 3U);
  counter.release(client);
  EXPECT_EQ(counter.acquire(client), Admission::admitted);
  EXPECT_EQ(counter.acquire(client), Admission::over_limit);
}

TEST(AddressCounter, ThePortDoesNotCount) {
  AddressCounter counter(2, 100, 1);
  EXPECT_EQ(counter.acquire(v4(10, 0, 0, 1, 1)), Admission::admitted);
  EXPECT_EQ(counter.acquire(v4(10, 0, 0, 1, 2)), Admission::admitted);
  EXPECT_EQ(counter.acquire(v4(10, 0, 0, 1, 3)), Admission::over_limit);
}

TEST(AddressCounter, Ipv6CountsBySlash64) {
  AddressCounter counter(2, 100, 1);
  const auto host = [](std::uint8_t subnet, std::uint8_t last) {
    return v6({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, subnet, 0, 0, 0, 0, 0, 0, 0, last});
  };
  EXPECT_EQ(counter.acquire(host(1, 1)), Admission::admitted);
  EXPECT_EQ(counter.acquire(host(1, 2)), Admission::admitted);
  EXPECT_EQ(counter.acquire(host(1, 3)), Admission::over_limit);
  EXPECT_EQ(counter.acquire(host(2, 1)), Admission::admitted);
  EXPECT_EQ(counter.entries(), 2U);
}

TEST(AddressCounter, Ipv4WrittenAsIpv6IsTheSameClient) {
  AddressCounter counter(1, 100, 1);
  EXPECT_EQ(counter.acquire(v4(10, 0, 0, 1)), Admission::admitted);
  EXPECT_EQ(counter.acquire(v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10, 0, 0, 1})), Admission::over_limit);
  // The same number as an IPv6 network is another.
  EXPECT_EQ(counter.acquire(v6({0, 0, 0, 0, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1})), Admission::admitted);
}

TEST(AddressCounter, UnixPeersAreNotCounted) {
  AddressCounter counter(1, 100, 1);
  SocketAddress peer;
  peer.family = SocketAddress::Family::unix_path;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(counter.acquire(peer), Admission::admitted);
  counter.release(peer);
  EXPECT_EQ(counter.entries(), 0U);
}

TEST(AddressCounter, WithoutALimitOnlyCounts) {
  AddressCounter counter(0, 100, 1);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(counter.acquire(v4(1, 2, 3, 4)), Admission::admitted);
  EXPECT_EQ(counter.count(v4(1, 2, 3, 4)), 1000U);
  counter.set_limit(10);
  EXPECT_EQ(counter.acquire(v4(1, 2, 3, 4)), Admission::over_limit);
}

TEST(AddressCounter, ForgetsAddressesWithoutConnections) {
  AddressCounter counter(5, 10, 1);
  for (int round = 0; round < 100; ++round) {
    for (std::uint8_t i = 0; i < 10; ++i) {
      ASSERT_EQ(counter.acquire(v4(1, 1, static_cast<std::uint8_t>(round), i)), Admission::admitted);
    }
    EXPECT_EQ(counter.entries(), 10U);
    for (std::uint8_t i = 0; i < 10; ++i) counter.release(v4(1, 1, static_cast<std::uint8_t>(round), i));
    EXPECT_EQ(counter.entries(), 0U);
  }
}

TEST(AddressCounter, AMillionAddressesFillTheTableAndNoMore) {
  AddressCounter counter(5, 1000, 1);
  std::size_t full = 0;
  for (std::uint32_t i = 0; i < 1'000'000; ++i) {
    const auto client = v4(static_cast<std::uint8_t>(i >> 24U), static_cast<std::uint8_t>(i >> 16U),
                           static_cast<std::uint8_t>(i >> 8U), static_cast<std::uint8_t>(i));
    full += counter.acquire(client) == Admission::table_full ? 1 : 0;
  }
  EXPECT_EQ(full, 999'000U);
  EXPECT_EQ(counter.entries(), 1000U);
  EXPECT_EQ(counter.acquire(v4(0, 0, 0, 1)), Admission::admitted);  // known ones are still counted
  EXPECT_EQ(counter.count(v4(0, 0, 0, 1)), 2U);
}

TEST(AddressCounter, AReleaseTooManyHarmsNothing) {
  AddressCounter counter(5, 10, 1);
  counter.release(v4(1, 1, 1, 1));
  EXPECT_EQ(counter.acquire(v4(1, 1, 1, 1)), Admission::admitted);
  counter.release(v4(1, 1, 1, 1));
  counter.release(v4(1, 1, 1, 1));
  EXPECT_EQ(counter.count(v4(1, 1, 1, 1)), 0U);
  EXPECT_EQ(counter.entries(), 0U);
}

class AddressCounterWorkers : public ::testing::TestWithParam<int> {};

TEST_P(AddressCounterWorkers, TheLimitIsExactOverAll) {
  AddressCounter counter(50, 64, 7);
  std::array<std::atomic<int>, 8> open{};
  std::atomic<int> above{0};
  std::atomic<std::uint64_t> refused{0};
  std::vector<std::thread> workers;
  for (int w = 0; w < GetParam(); ++w) {
    workers.emplace_back([&, w] {
      std::vector<std::uint8_t> mine;
      std::uint64_t state = static_cast<std::uint64_t>(w) + 1;
      for (int i = 0; i < 20'000; ++i) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        const auto client = static_cast<std::uint8_t>((state >> 33U) % 8);
        const auto address = v4(10, 0, 0, client);
        if ((state >> 60U) < 9) {
          if (counter.acquire(address) == Admission::admitted) {
            if (open[client].fetch_add(1) >= 50) ++above;
            mine.push_back(client);
          } else {
            ++refused;
          }
        } else if (!mine.empty()) {
          open[mine.back()].fetch_sub(1);
          counter.release(v4(10, 0, 0, mine.back()));
          mine.pop_back();
        }
      }
      for (const auto client : mine) {
        open[client].fetch_sub(1);
        counter.release(v4(10, 0, 0, client));
      }
    });
  }
  for (auto& worker : workers) worker.join();
  EXPECT_EQ(above.load(), 0);
  EXPECT_GT(refused.load(), 0U);
  EXPECT_EQ(counter.entries(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Count, AddressCounterWorkers, ::testing::Values(1, 4));

}  // namespace
}  // namespace understudy::limit
