#include "tests/bench/load/slot.hpp"

#include <sys/epoll.h>

#include <cerrno>
#include <cstring>

#include "tests/bench/load/frames.hpp"
#include "tests/bench/load/pattern.hpp"

namespace bench {

std::string message_of(const Job& job) {
  if (job.kind == "ws") return client_frame(pattern(), job.expect);
  std::string out = (job.post != 0 ? "POST " : "GET ") + job.path + " HTTP/1.1\r\nHost: bench.example.org\r\n" +
                    "User-Agent: bench/1.0\r\nAccept: */*\r\n";
  if (job.close) out += "Connection: close\r\n";
  if (job.post != 0)
    out += "Content-Type: application/octet-stream\r\nContent-Length: " + std::to_string(job.post) + "\r\n";
  out += "\r\n";
  return out.append(pattern(), job.post);
}

void Slot::ask() {
  busy_ = true;
  begin();
  if (state_ == State::closed) return connect();
  sent_ = 0;
  drive();
}

void Slot::connect() {
  // 16 source addresses share the short connections.
  const unsigned from = context_.job.close ? 2 + number_ % 16 : 1;
  served_ = 0;
  sent_ = 0;
  wants_out_ = false;
  open_ = opening();
  if (!wire_.open(context_.job.port, from, context_.tls, context_.job.resume)) {
    return fail(std::string("connect: ") + std::strerror(errno));
  }
  context_.loop.add(wire_.fd(), this, EPOLLIN);
  state_ = State::handshake;
  drive();  // over loopback the connection is usually there already
}

void Slot::on_event(std::uint32_t events) {
  if (state_ == State::closed) return;
  if (wants_out_ && (events & EPOLLOUT) != 0) {
    wants_out_ = false;
    context_.loop.change(wire_.fd(), this, EPOLLIN);
  }
  if (state_ == State::handshake || (busy_ && sent_ < context_.message.size() && state_ != State::ending)) {
    drive();
    if (state_ == State::closed || state_ == State::handshake) return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read();
}

void Slot::drive() {
  if (state_ == State::handshake) {
    switch (wire_.handshake()) {
      case Io::done: break;
      case Io::again: return;
      case Io::again_write: wants_out_ = true; return context_.loop.change(wire_.fd(), this, EPOLLIN | EPOLLOUT);
      default: return fail("TLS handshake failed or was cut");
    }
    if (wire_.tls()) {
      ++context_.tally.handshakes;
      if (wire_.resumed()) ++context_.tally.resumed;
    }
    state_ = open_.empty() ? State::ready : State::opening;
  }
  send();
}

bool Slot::send() {
  const std::string& bytes = state_ == State::opening ? open_ : context_.message;
  while (sent_ < bytes.size()) {
    std::size_t put = 0;
    switch (wire_.write(bytes.data() + sent_, bytes.size() - sent_, put)) {
      case Io::done: sent_ += put; break;
      case Io::again: return true;
      case Io::again_write:
        if (!wants_out_) context_.loop.change(wire_.fd(), this, EPOLLIN | EPOLLOUT);
        wants_out_ = true;
        return true;
      default: fail(std::string("send: ") + std::strerror(errno)); return false;
    }
  }
  return true;
}

void Slot::read() {
  while (state_ != State::closed) {
    std::size_t got = 0;
    switch (wire_.read(context_.loop.scratch(), Loop::kScratch, got)) {
      case Io::done: break;
      case Io::again:
      case Io::again_write: return;
      case Io::end:
      case Io::error:
        if (state_ == State::ending) {
          drop();
          return finished(true);
        }
        if (!busy_) return drop();  // an idle connection may be closed
        return fail(served_ == 0 ? "closed before the first answer" : "closed before an answer");
    }
    if (state_ == State::ending || !busy_) return fail("bytes after the answer");
    switch (take(context_.loop.scratch(), got)) {
      case Taken::more: break;
      case Taken::failed: return fail(reason_);
      case Taken::opened:
        state_ = State::ready;
        sent_ = 0;
        if (!send()) return;
        break;
      case Taken::answered:
        if (context_.job.close) {
          state_ = State::ending;  // the proxy closes; what it still says is waited for
          break;
        }
        return finished(true);
    }
    if (!wire_.tls()) return;  // readiness is level-triggered; only OpenSSL may hold something back
  }
}

void Slot::finished(bool good) {
  busy_ = false;
  if (good) {
    ++served_;
    ++context_.tally.requests;
  }
  context_.driver.on_answer(*this, good);
}

void Slot::fail(const std::string& what) {
  context_.tally.fail(what);
  drop();
  finished(false);
}

void Slot::drop() {
  wire_.close();
  state_ = State::closed;
}

}  // namespace bench
