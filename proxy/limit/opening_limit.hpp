// How many WebSocket openings an endpoint may have in progress, found by trying (AIMD): the limit grows by little while openings
// take what they usually take, and halves when they take longer or fail. Pure.
//
// Little's law does the rest: with n in progress and t for each, n/t a second are admitted, so an endpoint that can open 100 a
// second is given 100 a second, whoever knocks.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace understudy::limit {

class OpeningLimit {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;
  struct Options {
    double start = 4, least = 1, most = 1024;
    double growth = 2;               // per second at most
    std::optional<Duration> good{};  // openings up to this are good; else three times what is usual
  };

  OpeningLimit() : OpeningLimit(Options{}) {}
  explicit OpeningLimit(Options options) : options_(options), limit_(options.start) {}

  bool may_begin() const { return in_progress_ < static_cast<std::uint32_t>(limit_); }
  void begun() {
    if (!(++in_progress_ < limit())) reached_ = true;
  }
  // One that has begun is over: it took so long, or failed (refused, timed out, 5xx), or says nothing (the client left).
  void opened(Duration took, TimePoint now);
  void failed(TimePoint now);
  void abandoned() { end(); }

  std::uint32_t in_progress() const { return in_progress_; }
  std::uint32_t limit() const { return static_cast<std::uint32_t>(limit_); }
  // What an opening may take to be good. Nothing is known before the first one.
  std::optional<Duration> good() const;
  // Openings a second, smoothed over some seconds; 0 before the first.
  double rate(TimePoint now) const;

private:
  void end() {
    if (in_progress_ > 0) --in_progress_;
    if (in_progress_ < limit() / 2) reached_ = false;
  }
  void halve(TimePoint now, Duration pause);
  void count(TimePoint now);

  Options options_;
  double limit_;
  std::uint32_t in_progress_ = 0;
  std::optional<Duration> usual_;  // the shortest, forgotten slowly
  std::optional<TimePoint> grown_, first_;
  bool reached_ = false;  // lately
  double room_ = 0;       // to grow, by the time that passed
  TimePoint no_halving_before_{};
  double weight_ = 0;  // of the openings counted, decaying
  TimePoint counted_{};
};

}  // namespace understudy::limit
