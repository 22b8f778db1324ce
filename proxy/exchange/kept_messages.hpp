// What a tunnel keeps of its client's messages, so that another endpoint can be told what the lost one may not have heard whole:
// the first messages, the one in progress, and what the client says while there is no endpoint. Pure. Bytes may be cut anywhere;
// their framing was found valid before.
//
//   passed_on() … lose() ─► hold() … resume() ─► next(), sent(), and still hold() … caught_up() ─► passed_on() …
//
// A message reaches an endpoint whole or not at all, and only the first ones ever reach a second one. Control frames belong to a
// connection and are not kept: while the client is held to, its pings are ours to answer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/exchange/frame_cutter.hpp"

namespace understudy::exchange {

class KeptMessages {
public:
  struct Terms {
    std::uint32_t first = 0;         // messages that every next endpoint is told again
    std::size_t bound = 256 * 1024;  // bytes of those, and as many of what is held
  };
  // Can another endpoint take over from the lost one?
  enum class Fit : std::uint8_t {
    yes,
    opening_too_long,  // the first messages are more than may be kept
    opening_no_room,   // or were, when others kept all that all may keep
    message_too_long   // part of a message was passed on, and it is more than may be kept
  };
  KeptMessages() = default;
  explicit KeptMessages(const Terms& terms) : terms_(terms) {}

  // So many bytes more may be kept at present, whatever the bound: a share of what all tunnels may keep together. A little is always
  // held, or nobody would hear that a client pings or closes.
  void allow(std::size_t more) { most_ = more < SIZE_MAX - bytes() ? bytes() + more : SIZE_MAX; }
  // These bytes of the client went to the endpoint as they are.
  void passed_on(const char* data, std::size_t size);
  // The connection to the endpoint is no more.
  Fit lose();
  // Takes what the client says, and returns how much: less than all of it where the bound is reached, or behind a Close.
  std::size_t hold(const char* data, std::size_t size);
  bool full() const { return room() == 0; }
  // There is another endpoint: it is told next() until that is empty, and told of it by sent(), which returns how many messages
  // have become whole by that, those told again not counted.
  void resume();
  std::string_view next() const;
  std::uint32_t sent(std::size_t size);
  // What the client says may be passed on as it is again.
  bool caught_up() const { return next().empty() && !cutter_.in_control(); }

  // What the client's newest ping says, if nobody answered it. Then it counts as answered.
  std::optional<std::string> take_ping();
  void pong_seen() { ping_.reset(); }  // the endpoint has answered
  // A Close of the client was held; it is not told on.
  bool close_held() const { return closed_; }
  // Whole messages of the client that no endpoint was told: if there is to be none any more, they are lost.
  std::uint64_t untold() const { return untold_; }

  // Bytes that wait for an endpoint, and all that is kept.
  std::size_t held() const { return kept_.size() - begin_; }
  std::size_t bytes() const { return held() + opening_.size(); }
  // What it takes of the memory beyond itself. Nothing that matters while nothing is held but the first messages.
  std::size_t allocated() const { return kept_.capacity() + opening_.capacity(); }

private:
  static constexpr std::size_t kAlways = 4096;
  bool records() const { return recorded_ < terms_.first && !opening_lost_; }
  // For what is held, and for the first messages.
  std::size_t room() const {
    return std::min(terms_.bound - std::min(held(), terms_.bound),
                    std::max(left(), kAlways - std::min(held(), kAlways)));
  }
  std::size_t left() const { return most_ - std::min(bytes(), most_); }
  void record(std::string_view message);
  void append(std::string_view bytes);
  void drop_kept();
  void note_control(const FrameCutter::Piece& piece, bool held);
  std::size_t first_message() const;

  Terms terms_;
  FrameCutter cutter_;   // of all that the client said
  std::string opening_;  // its first messages
  std::uint32_t recorded_ = 0;
  std::string kept_;          // whole data frames, from begin_ on
  std::size_t begin_ = 0;     // where the first message begins that is not told whole
  std::size_t sent_ = 0;      // so far the endpoint was told
  std::size_t replayed_ = 0;  // the same of opening_
  std::uint64_t untold_ = 0;
  std::size_t most_ = SIZE_MAX;  // bytes(), because of the others
  bool opening_lost_ = false, no_room_ = false;
  bool too_long_ = false;  // the message in progress; the rest of it is not kept either
  bool closed_ = false;
  std::optional<std::string> ping_;
};

}  // namespace understudy::exchange
