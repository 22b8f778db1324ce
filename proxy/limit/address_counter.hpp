// Open connections per client address, for max_connections_per_ip. IPv4 counts by address, IPv6 by /64 (one
// household or host owns the rest), IPv4 written as IPv6 as IPv4. Exact over all workers: one object is
// shared by them.
//
// Bounded: one entry per address with an open connection, `capacity` at most. Where an entry lands depends on
// a seed, so that nobody can choose addresses that collide.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "config/address.hpp"

namespace understudy::limit {

enum class Admission : std::uint8_t {
  admitted,    // counted; release() it once when the connection ends
  over_limit,  // refuse
  table_full   // not counted, never released; to be let in unless another limit (max_connections) says no
};

// A number for the client of that address: those of one IPv6 /64 share it, and an IPv4 address has one however it is written.
// `seed`: random per process.
std::uint64_t client_number(const config::SocketAddress& client, std::uint64_t seed);
// What people call that client: "203.0.113.7", or the network "2001:db8::/64".
std::string client_name(const config::SocketAddress& client);

class AddressCounter {
public:
  // `limit` connections per address, 0 for none; `seed` random per process. Memory grows with use, up to
  // about 40 bytes for each of `capacity` entries.
  AddressCounter(std::uint64_t limit, std::size_t capacity, std::uint64_t seed);
  ~AddressCounter();
  AddressCounter(const AddressCounter&) = delete;
  AddressCounter& operator=(const AddressCounter&) = delete;

  // Callable from any thread; holds one of 16 locks for one table look-up. Unix peers have no address: always
  // admitted.
  Admission acquire(const config::SocketAddress& client);
  void release(const config::SocketAddress& client);

  std::uint64_t count(const config::SocketAddress& client) const;  // open now
  std::size_t entries() const;                                     // addresses with an open connection
  void set_limit(std::uint64_t limit);                             // a reload; what is open stays

private:
  struct Shard;
  static constexpr std::size_t kShards = 16;
  Shard& shard_of(std::uint64_t hash) const;

  std::atomic<std::uint64_t> limit_;
  std::size_t capacity_;
  std::uint64_t seed_;
  std::atomic<std::size_t> entries_{0};
  std::unique_ptr<std::array<Shard, kShards>> shards_;
};

}  // namespace understudy::limit
