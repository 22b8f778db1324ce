#include "proxy/net/buffer.hpp"

#include <sys/mman.h>

#include <cassert>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace understudy::net {
namespace {

constexpr std::size_t kWhole = sizeof(Block) + kBlockSize;
static_assert(kWhole % 4096 == 0, "a block is whole pages");

// Pages straight from the system, so that what is freed leaves the process at once instead of staying in the
// heap between longer-lived objects. Under ASan the heap is used: it watches both ends of a block.
void* allocate() {
#if defined(__SANITIZE_ADDRESS__)
  return ::operator new(kWhole);
#else
  void* memory = ::mmap(nullptr, kWhole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return memory;
#endif
}

void release(Block* block) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(block->data(), kBlockSize);
  ::operator delete(block);
#else
  ::munmap(block, kWhole);
#endif
}

}  // namespace

BlockPool::~BlockPool() {
  assert(outstanding_ == 0 && "a block outlives its pool");
  trim(0);
}

BlockRef BlockPool::take() {
  Block* block = free_;
  if (block != nullptr) {
    free_ = block->next;
    --free_count_;
    ASAN_UNPOISON_MEMORY_REGION(block->data(), kBlockSize);
  } else {
    block = ::new (allocate()) Block;
    block->pool = this;
  }
  block->next = nullptr;
  block->refs = 1;
  ++outstanding_;
  return BlockRef(block);
}

void BlockPool::give(Block* block) {
  assert(block->pool == this && block->refs == 0 && outstanding_ > 0);
  --outstanding_;
  if (free_count_ >= keep_) {
    release(block);
    return;
  }
  ASAN_POISON_MEMORY_REGION(block->data(), kBlockSize);
  block->next = free_;
  free_ = block;
  ++free_count_;
}

void BlockPool::trim(std::size_t keep) {
  while (free_count_ > keep) {
    Block* block = free_;
    free_ = block->next;
    --free_count_;
    release(block);
  }
}

}  // namespace understudy::net
