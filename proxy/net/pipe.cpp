#include "proxy/net/pipe.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace understudy::net {

void Inbox::make_room(BlockPool& pool, std::size_t least) {
  if (!block) {
    block = pool.take();
    begin = end = 0;
    return;
  }
  if (begin == end && block.get()->refs == 1) {
    begin = end = 0;  // nobody refers to what was consumed
    return;
  }
  if (room() >= least) return;
  BlockRef fresh = pool.take();
  std::memcpy(fresh.data(), data(), size());
  end = size();
  begin = 0;
  block = std::move(fresh);
}

Pipe::Piece& Pipe::append() {
  assert(count_ < kPieces);
  return at(count_++);
}

void Pipe::push(const BlockRef& block, const char* data, std::uint32_t size) {
  if (size == 0) return;
  Piece& piece = append();
  piece.data = data;
  piece.size = size;
  piece.block = BlockRef(block).detach();
  unsent_ += size;
  held_ += size;
}

void Pipe::push_inline(std::string_view bytes) {
  Piece& piece = append();
  assert(bytes.size() <= piece.small.size());
  std::memcpy(piece.small.data(), bytes.data(), bytes.size());
  piece.data = nullptr;
  piece.size = static_cast<std::uint32_t>(bytes.size());
  piece.block = nullptr;
  unsent_ += bytes.size();
  held_ += bytes.size();
}

void Pipe::push_copy(BlockPool& pool, std::string_view bytes) {
  while (!bytes.empty()) {
    BlockRef block = pool.take();
    const std::size_t n = std::min(bytes.size(), kBlockSize);
    std::memcpy(block.data(), bytes.data(), n);
    push(block, block.data(), static_cast<std::uint32_t>(n));
    bytes.remove_prefix(n);
  }
}

int Pipe::gather(iovec* out, int max) const {
  int n = 0;
  for (std::uint32_t i = cursor_; i < count_ && n < max; ++i) {
    const Piece& piece = at(i);
    const std::uint32_t skip = i == cursor_ ? cursor_offset_ : 0;
    if (piece.size == skip) continue;
    out[n].iov_base = const_cast<char*>(piece.bytes() + skip);
    out[n].iov_len = piece.size - skip;
    ++n;
  }
  return n;
}

void Pipe::sent(std::size_t bytes) {
  unsent_ -= bytes;
  while (bytes > 0) {
    const Piece& piece = at(cursor_);
    const std::size_t left = piece.size - cursor_offset_;
    if (bytes < left) {
      cursor_offset_ += static_cast<std::uint32_t>(bytes);
      break;
    }
    bytes -= left;
    ++cursor_;
    cursor_offset_ = 0;
  }
  if (!retain_) release_sent();
}

void Pipe::release_sent() {
  while (cursor_ > 0) {
    Piece& piece = at(0);
    held_ -= piece.size;
    piece.release();
    first_ = (first_ + 1) % kPieces;
    --count_;
    --cursor_;
  }
  if (count_ == 0) first_ = 0;
}

void Pipe::retain(bool on) {
  retain_ = on;
  if (!on) release_sent();
}

void Pipe::rewind() {
  unsent_ = held_;
  cursor_ = 0;
  cursor_offset_ = 0;
}

void Pipe::clear() {
  for (std::uint32_t i = 0; i < count_; ++i) at(i).release();
  first_ = count_ = cursor_ = cursor_offset_ = 0;
  unsent_ = held_ = 0;
}

}  // namespace understudy::net
