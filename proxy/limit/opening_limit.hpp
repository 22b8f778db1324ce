// How many WebSocket openings an endpoint may have in progress, found by trying (AIMD): the limit grows while openings take what
// they usually take, and halves when nearly all of them take longer or fail. Pure.
//
// Little's law does the rest: with n in progress and t for each, n/t a second are admitted, so an endpoint that can open 100 a
// second is given 100 a second, whoever knocks.
#pragma once

#include <array>
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
    double growth = 2;               // per second at most, once it was halved; before it doubles in two seconds
    std::optional<Duration> good{};  // openings up to this are good; else three times what is usual
  };

  OpeningLimit() : OpeningLimit(Options{}) {}
  explicit OpeningLimit(Options options) : options_(options), limit_(options.start) {}

  bool may_begin() const { return in_progress_ < limit(); }
  void begun() {
    if (!(++in_progress_ < limit())) reached_ = true;
  }
  // One that has begun is over: it took so long, or failed (refused, timed out, 5xx), or says nothing (the client left).
  void opened(Duration took, TimePoint now);
  void failed(TimePoint now);
  void abandoned() { end(); }
  // The endpoint was away: it is given few again. What is usual of it stays known.
  void cold();

  std::uint32_t in_progress() const { return in_progress_; }
  std::uint32_t limit() const { return static_cast<std::uint32_t>(limit_); }
  // What an opening may take to be good. Nothing is known before the first one.
  std::optional<Duration> good() const;
  // It has not been halved yet since it was cold: it may well be more.
  bool fresh() const { return fresh_; }
  // The last ones to be opened took no longer than that.
  bool normal() const { return !slow_; }
  // Openings a second, smoothed over some seconds; 0 before the first.
  double rate(TimePoint now) const;
  // The last one to succeed.
  std::optional<TimePoint> last() const { return first_ ? std::optional(counted_) : std::nullopt; }

private:
  static constexpr std::size_t kMostJudged = 32;
  void end() {
    if (in_progress_ > 0) --in_progress_;
    if (in_progress_ < limit() / 2) reached_ = false;
  }
  void judge(Duration took, TimePoint now, bool& halved);
  void learn(TimePoint now);
  void halve(TimePoint now, Duration pause);
  void grow(TimePoint now, bool used);
  void count(TimePoint now);

  Options options_;
  double limit_;
  std::uint32_t in_progress_ = 0;
  std::optional<Duration> usual_;               // the lowest median, forgotten slowly
  std::array<Duration, kMostJudged> lately_{};  // judged together
  std::uint32_t judged_ = 0, late_ = 0;         // so many in it, so many of them slow
  bool learnt_ = false;                         // `usual_` is of a whole round, not a first guess
  TimePoint learnt_at_{};
  std::optional<TimePoint> grown_, first_;
  bool reached_ = false;  // lately
  bool fresh_ = true;     // never halved since it was cold
  bool slow_ = false;
  double room_ = 0;  // to grow, by the time that passed
  TimePoint no_halving_before_{};
  double weight_ = 0;  // of the openings counted, decaying
  TimePoint counted_{};
};

}  // namespace understudy::limit
