// One client connection that asks again and again: the driver says when.
#pragma once

#include <cstdint>
#include <string>

#include "tests/bench/load/job.hpp"
#include "tests/bench/load/loop.hpp"
#include "tests/bench/load/wire.hpp"

namespace bench {

class Slot;

class Driver {
public:
  virtual ~Driver() = default;
  // A request was answered (or failed, which is in the tally). The driver may call ask() at once.
  virtual void on_answer(Slot& slot, bool good) = 0;
};

// What all slots of a run share.
struct Context {
  Loop& loop;
  const Job& job;
  Tally& tally;
  Driver& driver;
  TlsClient* tls;
  std::string message;  // request, or WebSocket frame
};

class Slot : public Handler {
public:
  Slot(Context& context, unsigned number) : context_(context), number_(number) {}
  // Sends one request, connecting first when needed.
  void ask();
  void on_event(std::uint32_t events) override;
  bool idle() const { return !busy_; }
  std::int64_t due = 0;  // the driver's: when this request should have been sent

protected:
  // The bytes that begin a new connection's life before the first request, or nothing.
  virtual std::string opening() const { return {}; }
  // Takes what was read; says whether the answer is complete. Calls fail() on anything wrong.
  enum class Taken : std::uint8_t { more, opened, answered, failed };
  virtual Taken take(const char* data, std::size_t size) = 0;
  virtual void begin() = 0;  // a request begins
  Taken wrong(const std::string& what) {
    reason_ = what;
    return Taken::failed;
  }
  Context& context_;

private:
  enum class State : std::uint8_t { closed, handshake, opening, ready, ending };
  void connect();
  void drive();
  bool send();
  void read();
  void finished(bool good);
  void fail(const std::string& what);
  void drop();

  unsigned number_;
  Wire wire_;
  State state_ = State::closed;
  bool busy_ = false, wants_out_ = false;
  std::string open_;          // opening bytes
  std::size_t sent_ = 0;      // of the opening, then of the message
  std::uint64_t served_ = 0;  // answers on this connection
  std::string reason_;
};

std::unique_ptr<Slot> make_http_slot(Context& context, unsigned number);
std::unique_ptr<Slot> make_ws_slot(Context& context, unsigned number);
// The message of a job, for its context.
std::string message_of(const Job& job);

}  // namespace bench
