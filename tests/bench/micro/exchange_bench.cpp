// What the pure core costs per exchange, and what following WebSocket frames costs per byte and per frame.
#include <benchmark/benchmark.h>

#include <array>
#include <chrono>
#include <string>

#include "proxy/exchange/frame_tracker.hpp"
#include "proxy/exchange/state.hpp"

namespace {

using namespace understudy;
using namespace understudy::exchange;

// 1 MiB of masked frames of this payload, fed in pieces as a socket gives them.
void TrackFrames(benchmark::State& state) {
  const auto payload = static_cast<std::size_t>(state.range(0));
  std::string frame(1, static_cast<char>(0x82));
  if (payload < 126) {
    frame += static_cast<char>(0x80 | payload);
  } else {
    frame += static_cast<char>(0xFE);
    frame += static_cast<char>(payload >> 8);
    frame += static_cast<char>(payload & 0xFF);
  }
  frame += "mask" + std::string(payload, 'x');
  std::string bytes;
  while (bytes.size() < 1024 * 1024) bytes += frame;
  constexpr std::size_t kPiece = 64 * 1024;
  for (auto _ : state) {
    FrameTracker tracker;
    for (std::size_t at = 0; at < bytes.size(); at += kPiece) {
      tracker.feed(bytes.data() + at, std::min(kPiece, bytes.size() - at));
    }
    if (!tracker.at_boundary()) state.SkipWithError("not at a boundary");
  }
  const auto frames = static_cast<double>(bytes.size() / frame.size());
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes.size()));
  state.counters["per_frame"] =
      benchmark::Counter(frames, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(TrackFrames)->Arg(125)->Arg(16 * 1024);

// The decisions of one plain GET over a reused connection, as the driver asks for them.
void DecidePlainGet(benchmark::State& state) {
  const Policy policy;
  TimePoint now{std::chrono::hours(1)};
  const auto tell = [&now](State& exchange, EventKind kind, bool flag = false, std::uint16_t status = 0) {
    now += std::chrono::microseconds(20);
    Event event;
    event.kind = kind;
    event.flag = flag;
    event.status = status;
    benchmark::DoNotOptimize(exchange.on(event, now));
    benchmark::DoNotOptimize(exchange.next_deadline());
  };
  for (auto _ : state) {
    State exchange(policy, now);
    tell(exchange, EventKind::head, true);
    tell(exchange, EventKind::connected, true);
    tell(exchange, EventKind::first_byte_sent);
    tell(exchange, EventKind::sent);
    tell(exchange, EventKind::response_head, false, 200);
    tell(exchange, EventKind::downstream_started);
    tell(exchange, EventKind::response_end);
    if (exchange.phase() != Phase::finished) state.SkipWithError("not finished");
  }
}
BENCHMARK(DecidePlainGet);

}  // namespace
