// Pooled blocks for bytes in motion. One pool per worker, LIFO, not thread-safe. A connection that waits holds none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace understudy::net {

class BlockPool;

// A block of kBlockSize bytes, counted by hand inside one worker.
struct Block {
  BlockPool* pool = nullptr;
  Block* next = nullptr;  // free list
  std::uint32_t refs = 0;
  char* data() { return reinterpret_cast<char*>(this + 1); }
  const char* data() const { return reinterpret_cast<const char*>(this + 1); }
};
// 64 KiB of payload, plus room for the largest allowed response head and what rewriting adds to it.
inline constexpr std::size_t kBlockSize = 72 * 1024 - sizeof(Block);
inline constexpr std::size_t kReadSize = 64 * 1024;

// Owning reference.
class BlockRef {
public:
  BlockRef() = default;
  explicit BlockRef(Block* adopted) : block_(adopted) {}  // takes over one count
  BlockRef(const BlockRef& o) : block_(o.block_) {
    if (block_) ++block_->refs;
  }
  BlockRef(BlockRef&& o) noexcept : block_(std::exchange(o.block_, nullptr)) {}
  BlockRef& operator=(BlockRef o) noexcept {
    std::swap(block_, o.block_);
    return *this;
  }
  ~BlockRef() { reset(); }
  inline void reset();
  Block* get() const { return block_; }
  Block* detach() { return std::exchange(block_, nullptr); }  // its count goes to the caller
  char* data() const { return block_->data(); }
  explicit operator bool() const { return block_ != nullptr; }

private:
  Block* block_ = nullptr;
};

class BlockPool {
public:
  explicit BlockPool(std::size_t keep = 64) : keep_(keep) {}
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  BlockRef take();          // std::bad_alloc only when the machine has no memory
  void give(Block* block);  // refs reached 0
  std::size_t outstanding() const { return outstanding_; }
  std::size_t free_blocks() const { return free_count_; }
  void trim(std::size_t keep);  // gives memory back to the system

private:
  Block* free_ = nullptr;
  std::size_t free_count_ = 0;
  std::size_t outstanding_ = 0;
  std::size_t keep_;
};

inline void BlockRef::reset() {
  if (block_ && --block_->refs == 0) block_->pool->give(block_);
  block_ = nullptr;
}

}  // namespace understudy::net
