// Bytes on their way from one connection to another: a ring of views into pooled blocks. Nothing is copied.
// With `retain` what was sent is kept, so that another attempt can send it again from the start.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <string_view>

#include "proxy/net/buffer.hpp"

namespace understudy::net {

// Where a connection's received bytes stand: one block, [begin, end) not yet consumed.
struct Inbox {
  BlockRef block;
  std::uint32_t begin = 0, end = 0;
  bool empty() const { return begin == end; }
  std::uint32_t size() const { return end - begin; }
  char* data() const { return block.data() + begin; }
  std::string_view view() const { return block ? std::string_view(data(), size()) : std::string_view{}; }
  // Makes room for another read of at least `least` bytes behind what is there, moving it to a fresh block when it must.
  // Consumed bytes may still be referenced by pieces, so they are never overwritten.
  void make_room(BlockPool& pool, std::size_t least);
  std::size_t room() const { return block ? kBlockSize - end : 0; }
  void consume(std::uint32_t n) { begin += n; }
  void drop() {
    block.reset();
    begin = end = 0;
  }
};

class Pipe {
public:
  static constexpr std::uint32_t kPieces = 24;

  Pipe() = default;
  ~Pipe() { clear(); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  bool full() const { return count_ > kPieces - 3; }  // a chunk may need prefix and payload
  bool drained() const { return unsent_ == 0; }
  std::size_t unsent() const { return unsent_; }
  std::size_t held() const { return held_; }  // bytes kept in blocks, sent or not

  // A view into `block`, which is kept until the piece is released.
  void push(const BlockRef& block, const char* data, std::uint32_t size);
  // Up to 24 bytes, copied into the ring (chunk framing).
  void push_inline(std::string_view bytes);
  // Any size, copied into a fresh block (the rest of a head the socket did not take).
  void push_copy(BlockPool& pool, std::string_view bytes);

  // Fills `out` with what is to be sent next; returns the count.
  int gather(iovec* out, int max) const;
  void sent(std::size_t bytes);

  void retain(bool on);  // switching off releases what was sent
  bool retains() const { return retain_; }
  void rewind();  // everything retained is unsent again
  void clear();

private:
  // Nothing is initialised and nothing destroyed but what is between first_ and count_: an exchange has two pipes and
  // mostly uses one or two pieces of them.
  struct Piece {
    const char* data;
    std::uint32_t size;
    Block* block;  // counted, or nullptr
    std::array<char, 24> small;
    const char* bytes() const { return data ? data : small.data(); }
    void release() { const BlockRef last(block); }
  };
  Piece& at(std::uint32_t i) { return ring_[(first_ + i) % kPieces]; }
  const Piece& at(std::uint32_t i) const { return ring_[(first_ + i) % kPieces]; }
  Piece& append();
  void release_sent();

  std::array<Piece, kPieces> ring_;
  std::uint32_t first_ = 0, count_ = 0;
  std::uint32_t cursor_ = 0;         // piece to send next, relative to first_
  std::uint32_t cursor_offset_ = 0;  // bytes of it already sent
  std::size_t unsent_ = 0, held_ = 0;
  bool retain_ = false;
};

}  // namespace understudy::net
