// Indices run freely and are masked on use. Each side's index shares a cache line only with what that side
// alone touches: its cached copy of the other index, which it refreshes only when the ring looks full (or
// empty).
#include <algorithm>
#include <bit>
#include <cstddef>
#include <new>
#include <type_traits>

#include "proxy/observe/log.hpp"

namespace understudy::observe {
namespace {
constexpr std::size_t kLine = 64;
// Not constructed before use: a slot's pages stay untouched until the ring first reaches them.
struct alignas(kLine) Slot {
  alignas(AccessRecord) std::array<std::byte, sizeof(AccessRecord)> bytes;
};
static_assert(std::is_trivially_destructible_v<AccessRecord>, "records are overwritten, never destroyed");
}  // namespace

struct AccessRing::Data {
  struct alignas(kLine) Producer {
    std::atomic<std::uint64_t> published{0};
    std::uint64_t seen_taken = 0;
    std::atomic<std::uint64_t> dropped{0};
  };
  struct alignas(kLine) Consumer {
    std::atomic<std::uint64_t> taken{0};
    std::uint64_t seen_published = 0;
  };
  explicit Data(std::size_t size) : capacity(size), slots(new Slot[size]) {}
  Slot* slot(std::uint64_t index) const { return &slots[index & (capacity - 1)]; }

  const std::size_t capacity;
  const std::unique_ptr<Slot[]> slots;
  Producer producer;
  Consumer consumer;
};

AccessRing::AccessRing(std::size_t capacity_power_of_two)
    : data_(std::make_unique<Data>(std::bit_ceil(std::max<std::size_t>(capacity_power_of_two, 2)))) {}

AccessRing::~AccessRing() = default;

AccessRecord* AccessRing::begin_write() {
  auto& side = data_->producer;
  const std::uint64_t next = side.published.load(std::memory_order_relaxed);
  if (next - side.seen_taken == data_->capacity) {
    side.seen_taken = data_->consumer.taken.load(std::memory_order_acquire);
    if (next - side.seen_taken == data_->capacity) {
      side.dropped.store(side.dropped.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      return nullptr;
    }
  }
  return ::new (data_->slot(next)->bytes.data()) AccessRecord;  // leaves the texts' bytes as they are
}

void AccessRing::publish() {
  auto& published = data_->producer.published;
  published.store(published.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

const AccessRecord* AccessRing::front() {
  auto& side = data_->consumer;
  const std::uint64_t next = side.taken.load(std::memory_order_relaxed);
  if (next == side.seen_published) {
    side.seen_published = data_->producer.published.load(std::memory_order_acquire);
    if (next == side.seen_published) return nullptr;
  }
  return std::launder(reinterpret_cast<const AccessRecord*>(data_->slot(next)->bytes.data()));
}

void AccessRing::pop() {
  auto& taken = data_->consumer.taken;
  taken.store(taken.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

std::uint64_t AccessRing::dropped() const { return data_->producer.dropped.load(std::memory_order_relaxed); }

}  // namespace understudy::observe
