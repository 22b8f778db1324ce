#include "proxy/net/tls_pipe.hpp"

#include <openssl/bio.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace understudy::net {
namespace {

CipherPipe& pipe_of(BIO* bio) { return *static_cast<CipherPipe*>(BIO_get_data(bio)); }

// The end of the input is reported as "try again": the session asks the pipe afterwards. Told of an end,
// OpenSSL would mark the whole session as broken, and an answer could no longer be written to a peer that
// only shut down its own direction.
int bio_read(BIO* bio, char* data, std::size_t size, std::size_t* done) {
  BIO_clear_retry_flags(bio);
  *done = pipe_of(bio).read(data, size);
  if (*done > 0) return 1;
  BIO_set_retry_read(bio);
  return 0;
}

int bio_write(BIO* bio, const char* data, std::size_t size, std::size_t* done) {
  BIO_clear_retry_flags(bio);
  const bool taken = pipe_of(bio).write(data, size);
  *done = taken ? size : 0;
  return taken ? 1 : 0;
}

long bio_control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
}

int bio_create(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

const BIO_METHOD* pipe_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "understudy pipe");
    if (m == nullptr) throw std::bad_alloc();
    BIO_meth_set_read_ex(m, bio_read);
    BIO_meth_set_write_ex(m, bio_write);
    BIO_meth_set_ctrl(m, bio_control);
    BIO_meth_set_create(m, bio_create);
    return m;
  }();
  return method;
}

}  // namespace

bio_st* CipherPipe::new_bio() {
  BIO* bio = BIO_new(pipe_method());
  if (bio != nullptr) BIO_set_data(bio, this);
  return bio;
}

bool CipherPipe::receive() {
  if (transport_ == nullptr || !transport_->readable || hold_ || eof_ || receive_error_ != 0) return false;
  BlockRef block = pool_.take();
  const IoResult got = transport_->recv(block.data(), kReadSize);
  if (got.status == Io::ok) {
    input_ = std::move(block);
    input_begin_ = 0;
    input_end_ = static_cast<std::uint32_t>(got.bytes);
    received_ += got.bytes;
    return true;
  }
  eof_ = got.status == Io::eof;
  receive_error_ = got.error;
  return false;
}

std::size_t CipherPipe::read(char* data, std::size_t size) noexcept {
  if (stopped_ || size == 0) return 0;
  try {
    if (!input_ && !receive()) return 0;
  } catch (const std::bad_alloc&) {
    receive_error_ = ENOMEM;
    return 0;
  }
  const std::size_t n = std::min<std::size_t>(size, input_end_ - input_begin_);
  std::memcpy(data, input_.data() + input_begin_, n);
  input_begin_ += static_cast<std::uint32_t>(n);
  if (input_begin_ == input_end_) input_.reset();
  return n;
}

bool CipherPipe::write(const char* data, std::size_t size) noexcept {
  try {
    if (append(data, size)) return true;
  } catch (const std::bad_alloc&) {
  }
  exhausted_ = true;
  return false;
}

// All or nothing, so that OpenSSL never believes in half a record.
bool CipherPipe::append(const char* data, std::size_t size) {
  if (send_error_ != 0) return true;  // nobody will read it; let OpenSSL finish what it does
  const auto at = [this](std::size_t i) -> Chunk& { return chunks_[(first_ + i) % kMaxBlocks]; };
  std::size_t room = used_ > 0 ? kBlockSize - at(used_ - 1u).end : 0;
  if (room + (kMaxBlocks - used_) * kBlockSize < size) return false;
  while (size > 0) {
    if (room == 0) {
      BlockRef block = pool_.take();
      at(used_) = Chunk{std::move(block), 0, 0};
      ++used_;
      room = kBlockSize;
    }
    Chunk& last = at(used_ - 1u);
    const std::size_t n = std::min(room, size);
    std::memcpy(last.block.data() + last.end, data, n);
    last.end += static_cast<std::uint32_t>(n);
    appended_ += n;
    data += n;
    size -= n;
    room -= n;
  }
  return true;
}

void CipherPipe::consume(std::size_t bytes) {
  sent_ += bytes;
  while (bytes > 0) {
    Chunk& chunk = chunks_[first_];
    const std::size_t n = std::min<std::size_t>(bytes, chunk.end - chunk.begin);
    chunk.begin += static_cast<std::uint32_t>(n);
    bytes -= n;
    if (chunk.begin < chunk.end) return;
    chunk = Chunk{};
    first_ = static_cast<std::uint8_t>((first_ + 1u) % kMaxBlocks);
    --used_;
  }
}

void CipherPipe::drop_output() {
  for (Chunk& chunk : chunks_) chunk = Chunk{};
  first_ = used_ = 0;
  appended_ = sent_;
}

IoResult CipherPipe::flush(Transport& transport) {
  if (send_error_ != 0) return {Io::error, 0, send_error_};
  std::size_t total = 0;
  while (used_ > 0) {
    if (!transport.writable) return {Io::again, total, 0};
    std::array<iovec, kMaxBlocks> parts;
    for (std::size_t i = 0; i < used_; ++i) {
      Chunk& chunk = chunks_[(first_ + i) % kMaxBlocks];
      parts[i] = {chunk.block.data() + chunk.begin, static_cast<std::size_t>(chunk.end - chunk.begin)};
    }
    const IoResult result = transport.send(parts.data(), used_);
    if (result.status == Io::error) {
      send_error_ = result.error;
      drop_output();
      return result;
    }
    consume(result.bytes);
    total += result.bytes;
  }
  return {Io::ok, total, 0};
}

}  // namespace understudy::net
