#include "proxy/limit/address_counter.hpp"

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <optional>

namespace understudy::limit {
namespace {

using Family = config::SocketAddress::Family;

// Family and the bytes that count, in one number each.
struct Key {
  std::uint64_t address = 0;
  bool v6 = false;
  bool operator==(const Key&) const = default;
};

std::uint64_t big_endian(const std::uint8_t* bytes, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8U | bytes[i];
  return value;
}

std::optional<Key> key_of(const config::SocketAddress& client) {
  if (client.family == Family::v4) return Key{big_endian(client.ip.data(), 4), false};
  if (client.family != Family::v6) return std::nullopt;
  const bool mapped = std::all_of(client.ip.begin(), client.ip.begin() + 10, [](auto b) { return b == 0; }) &&
                      client.ip[10] == 0xFF && client.ip[11] == 0xFF;
  if (mapped) return Key{big_endian(client.ip.data() + 12, 4), false};
  return Key{big_endian(client.ip.data(), 8), true};
}

// Two rounds of a strong 64-bit mixer with the seed before and between: which keys collide depends on the
// seed.
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}
std::uint64_t hash_of(const Key& key, std::uint64_t seed) {
  return mix(mix(key.address ^ seed) + (seed << 1U | (key.v6 ? 1U : 0U)));
}

struct KeyHash {
  using is_avalanching = void;
  std::uint64_t seed = 0;
  std::size_t operator()(const Key& key) const { return hash_of(key, seed); }
};

}  // namespace

std::uint64_t client_number(const config::SocketAddress& client, std::uint64_t seed) {
  const auto key = key_of(client);
  return key ? hash_of(*key, seed) : 1;  // whoever comes over a Unix socket
}

std::string client_name(const config::SocketAddress& client) {
  const auto key = key_of(client);
  if (!key) return client.ip_string();
  config::SocketAddress counted;
  counted.family = key->v6 ? Family::v6 : Family::v4;
  const std::size_t bytes = key->v6 ? 8 : 4;
  for (std::size_t i = 0; i < bytes; ++i)
    counted.ip[i] = static_cast<std::uint8_t>(key->address >> (8 * (bytes - 1 - i)));
  return counted.ip_string() + (key->v6 ? "/64" : "");
}

// A lock made of one atomic: held for a look-up, waited for in the kernel, never spun on.
struct alignas(64) AddressCounter::Shard {
  std::atomic_flag locked;
  boost::unordered_flat_map<Key, std::uint64_t, KeyHash> counts;

  class Lock {
  public:
    explicit Lock(std::atomic_flag& flag) : flag_(flag) {
      while (flag_.test_and_set(std::memory_order_acquire)) flag_.wait(true, std::memory_order_relaxed);
    }
    ~Lock() {
      flag_.clear(std::memory_order_release);
      flag_.notify_one();
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

  private:
    std::atomic_flag& flag_;
  };
};

AddressCounter::AddressCounter(std::uint64_t limit, std::size_t capacity, std::uint64_t seed)
    : limit_(limit), capacity_(capacity), seed_(seed), shards_(std::make_unique<std::array<Shard, kShards>>()) {
  for (Shard& shard : *shards_) shard.counts = decltype(shard.counts)(0, KeyHash{seed});
}
AddressCounter::~AddressCounter() = default;

// The upper bits, which the table within the shard hardly uses.
AddressCounter::Shard& AddressCounter::shard_of(std::uint64_t hash) const { return (*shards_)[hash >> 60U]; }

Admission AddressCounter::acquire(const config::SocketAddress& client) {
  const auto key = key_of(client);
  if (!key) return Admission::admitted;
  const std::uint64_t limit = limit_.load(std::memory_order_relaxed);
  Shard& shard = shard_of(hash_of(*key, seed_));
  const Shard::Lock lock(shard.locked);
  if (const auto it = shard.counts.find(*key); it != shard.counts.end()) {
    if (limit != 0 && it->second >= limit) return Admission::over_limit;
    ++it->second;
    return Admission::admitted;
  }
  if (entries_.fetch_add(1, std::memory_order_relaxed) >= capacity_) {
    entries_.fetch_sub(1, std::memory_order_relaxed);
    return Admission::table_full;
  }
  shard.counts.emplace(*key, 1);
  return Admission::admitted;
}

void AddressCounter::release(const config::SocketAddress& client) {
  const auto key = key_of(client);
  if (!key) return;
  Shard& shard = shard_of(hash_of(*key, seed_));
  const Shard::Lock lock(shard.locked);
  const auto it = shard.counts.find(*key);
  if (it == shard.counts.end()) return;
  if (--it->second > 0) return;
  shard.counts.erase(it);
  entries_.fetch_sub(1, std::memory_order_relaxed);
}

std::uint64_t AddressCounter::count(const config::SocketAddress& client) const {
  const auto key = key_of(client);
  if (!key) return 0;
  Shard& shard = shard_of(hash_of(*key, seed_));
  const Shard::Lock lock(shard.locked);
  const auto it = shard.counts.find(*key);
  return it == shard.counts.end() ? 0 : it->second;
}

std::size_t AddressCounter::entries() const { return entries_.load(std::memory_order_relaxed); }

void AddressCounter::set_limit(std::uint64_t limit) { limit_.store(limit, std::memory_order_relaxed); }

}  // namespace understudy::limit
