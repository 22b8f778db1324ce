// Fairness within a budget that many clients draw on: what is held back from a client that has drawn on it of late, so that the
// others find something when they need it. Pure and bounded; nothing is allocated.
//
// Held back is as much as the client took itself, and no more than the others may want:
//
//   kept_from(client) = min(what it took of late, what others asked of late)
//
// So one client uses up half of a budget at most, two of them a third each, and whoever took nothing yet has all that is left. A
// client that is alone has everything: nobody is there for whom to keep it. That is graded and no threshold, so nobody becomes
// "alone" by asking ten times as much as all others (health/weighing, where evidence is at stake, needs one). A client is an
// address, or the /64 of an IPv6 one (limit::client_number); who has many of them has many shares.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace understudy::limit {

// Requests since they were last handed in, and of the client that sent most of them, if one sent more than half (a majority
// vote), nearly all that were its.
class Asked {
public:
  void add(std::uint64_t client) {
    ++requests_;
    if (client_ == client) {
      ++votes_;
      ++of_client_;
    } else if (votes_ > 0) {
      --votes_;
    } else {
      client_ = client;
      votes_ = of_client_ = 1;
    }
  }
  std::uint32_t requests() const { return requests_; }
  std::uint64_t client() const { return client_; }
  std::uint32_t of_client() const { return of_client_; }

private:
  std::uint32_t requests_ = 0, votes_ = 0, of_client_ = 0;
  std::uint64_t client_ = 0;
};

class FairShare {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::size_t kPlaces = 16;  // of those who take; beyond them the one that took least is forgotten

  void asked(const Asked& requests, TimePoint now);
  // How much of the budget this client has to leave.
  double kept_from(std::uint64_t client, TimePoint now);
  // It took one.
  void took(std::uint64_t client, TimePoint now);

private:
  struct Taker {
    std::uint64_t client = 0;
    double taken = 0;  // fades
  };
  void fade(TimePoint now);
  double others(std::uint64_t client) const;

  std::array<Taker, kPlaces> takers_{};
  // Requests of all, and of the client that sends more than half of them, if one does. They fade.
  double requests_ = 0, busiest_requests_ = 0, votes_ = 0;
  std::uint64_t busiest_ = 0;
  bool started_ = false;
  TimePoint at_{};
};

}  // namespace understudy::limit
