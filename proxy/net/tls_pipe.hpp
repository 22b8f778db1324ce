// Ciphertext between a socket and OpenSSL, in pooled blocks: what a TLS session hangs under its SSL instead
// of a descriptor. One recv brings many records in, one sendmsg takes many out, and an empty pipe holds no
// block.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "proxy/net/buffer.hpp"
#include "proxy/net/transport.hpp"

struct bio_st;

namespace understudy::net {

class CipherPipe {
public:
  // Blocks of output that may wait: room for the 256 KiB that write() allows and for alerts and key updates
  // on top. OpenSSL's write fails when they are full, which only a peer that provokes answers and never reads
  // them can bring about.
  static constexpr std::size_t kMaxBlocks = 8;

  explicit CipherPipe(BlockPool& pool) : pool_(pool) {}
  CipherPipe(const CipherPipe&) = delete;
  CipherPipe& operator=(const CipherPipe&) = delete;

  // A BIO that reads from and writes to this pipe, which must outlive it. The caller owns it. nullptr without
  // memory.
  bio_st* new_bio();

  // While one lives, OpenSSL may receive from `transport`; without one it sees only the bytes at hand.
  class Attach {
  public:
    Attach(CipherPipe& pipe, Transport& transport) : pipe_(pipe) {
      pipe_.transport_ = &transport;
      pipe_.hold_ = false;
    }
    ~Attach() { pipe_.transport_ = nullptr; }
    Attach(const Attach&) = delete;
    Attach& operator=(const Attach&) = delete;

  private:
    CipherPipe& pipe_;
  };
  void hold() { hold_ = true; }     // no further recv during this Attach: there is something to return already
  void stop() { stopped_ = true; }  // never again: the peer misbehaves

  // Sends what is pending with as few calls as possible. ok: nothing is left. After an error the output is
  // dropped and every later flush repeats the error; input is not touched, for an answer may have come before
  // the reset.
  IoResult flush(Transport& transport);
  void drop_output();

  bool has_input() const { return static_cast<bool>(input_); }
  std::size_t pending() const { return static_cast<std::size_t>(appended_ - sent_); }
  bool eof() const { return eof_; }                     // recv saw FIN
  int receive_error() const { return receive_error_; }  // errno, 0 if none
  int send_error() const { return send_error_; }
  bool exhausted() const { return exhausted_; }  // kMaxBlocks were full, or no memory
  std::uint64_t received() const { return received_; }
  std::uint64_t appended() const { return appended_; }  // bytes that OpenSSL wrote
  std::uint64_t sent() const { return sent_; }          // of these, bytes that the socket took

  // What the BIO calls. 0: nothing now.
  std::size_t read(char* data, std::size_t size) noexcept;
  bool write(const char* data, std::size_t size) noexcept;

private:
  struct Chunk {
    BlockRef block;
    std::uint32_t begin = 0, end = 0;
  };
  bool receive();
  bool append(const char* data, std::size_t size);
  void consume(std::size_t bytes);

  BlockPool& pool_;
  Transport* transport_ = nullptr;
  BlockRef input_;
  std::uint32_t input_begin_ = 0, input_end_ = 0;
  std::uint8_t first_ = 0, used_ = 0;  // ring of chunks
  bool hold_ = false, stopped_ = false, eof_ = false, exhausted_ = false;
  int receive_error_ = 0, send_error_ = 0;
  std::uint64_t received_ = 0, appended_ = 0, sent_ = 0;
  std::array<Chunk, kMaxBlocks> chunks_;
};

}  // namespace understudy::net
