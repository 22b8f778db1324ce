// WebSocket messages and their echoes.
#include <string_view>

#include "tests/bench/load/frames.hpp"
#include "tests/bench/load/heads.hpp"
#include "tests/bench/load/pattern.hpp"
#include "tests/bench/load/slot.hpp"

namespace bench {

namespace {

constexpr char kKey[] = "AAECAwQFBgcICQoLDA0ODw==";

class WsSlot final : public Slot {
public:
  using Slot::Slot;

protected:
  std::string opening() const override {
    return "GET " + context_.job.path +
           " HTTP/1.1\r\nHost: bench.example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
           kKey + "\r\n\r\n";
  }
  void begin() override {}

  Taken take(const char* data, std::size_t size) override {
    if (held_.empty()) return take_all(data, size);
    std::string joined = std::move(held_);
    held_.clear();
    joined.append(data, size);
    return take_all(joined.data(), joined.size());
  }

private:
  Taken take_all(const char* data, std::size_t size) {
    if (std::string_view(data, std::min<std::size_t>(size, 5)) == "HTTP/") {
      const std::size_t length = head_length(data, size);
      if (length == 0) {
        held_.assign(data, size);
        return Taken::more;
      }
      const std::string_view head(data, length);
      if (head.substr(9, 3) != "101") return wrong("status " + std::string(head.substr(0, 12)));
      if (field(head, "sec-websocket-accept") != accept_of(kKey)) return wrong("wrong Sec-WebSocket-Accept");
      return length == size ? Taken::opened : wrong("bytes after the 101");
    }
    const Frame frame = read_frame(data, size);
    if (frame.head == 0 || size < frame.whole()) {
      held_.assign(data, size);
      return Taken::more;
    }
    if (frame.opcode != 2 || frame.masked || frame.payload != context_.job.expect || size != frame.whole()) {
      return wrong("not the frame that was sent");
    }
    if (context_.job.verify && !matches_pattern(0, data + frame.head, frame.payload)) {
      return wrong("wrong byte in a message");
    }
    context_.tally.bytes += frame.payload;
    return Taken::answered;
  }

  std::string held_;
};

}  // namespace

std::unique_ptr<Slot> make_ws_slot(Context& context, unsigned number) {
  return std::make_unique<WsSlot>(context, number);
}

}  // namespace bench
