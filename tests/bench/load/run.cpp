#include "tests/bench/load/run.hpp"

#include <unistd.h>

#include <algorithm>
#include <deque>

#include "tests/bench/load/cpu_clock.hpp"

namespace bench {

namespace {

constexpr std::uint64_t kMostErrors = 100;
constexpr std::size_t kLarge = 64 * 1024;  // from here on requests are counted by their bytes

std::int64_t ns(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

// What a window begins with and is measured against.
struct Mark {
  Mark(const Job& job, const Tally& tally)
      : requests(tally.requests),
        bytes(tally.bytes),
        handshakes(tally.handshakes),
        resumed(tally.resumed),
        cpu(cpu_ns(job.watch)),
        load(cpu_ns({::getpid()})),
        machine(machine_busy_ns()),
        at(now_ns()) {}
  std::uint64_t requests, bytes, handshakes, resumed, cpu, load, machine;
  std::int64_t at;

  void measure(const Job& job, Result& result) const {
    const Mark end(job, result.tally);
    result.requests = static_cast<double>(end.requests - requests);
    if (job.expect >= kLarge)
      result.requests = static_cast<double>(end.bytes - bytes) / static_cast<double>(job.expect);
    result.handshakes = end.handshakes - handshakes;
    result.resumed = end.resumed - resumed;
    result.seconds = static_cast<double>(end.at - at) / 1e9;
    result.cpu_ns = end.cpu - cpu;
    result.load_ns = end.load - load;
    result.machine_ns = end.machine - machine;
  }
};

class Closed final : public Driver {
public:
  explicit Closed(const Job& job, const Tally& tally) : job_(job), tally_(tally) {}
  void on_answer(Slot& slot, bool) override { ask(slot); }
  // A counted run asks exactly so often: what is half done at its end would be counted by strace or callgrind, but not here.
  void ask(Slot& slot) {
    if (stopped_ || over() || (job_.count != 0 && asked_ >= job_.count)) return;
    ++asked_;
    again_.push_back(&slot);
  }
  bool over() const {
    return tally_.errors > kMostErrors || (job_.count != 0 && tally_.requests + tally_.errors >= job_.count);
  }
  void stop() { stopped_ = true; }
  // Asking from inside the answer would nest without end when every connection fails.
  void ask_again() {
    for (std::size_t i = 0; i < again_.size(); ++i) again_[i]->ask();
    again_.clear();
  }

private:
  const Job& job_;
  const Tally& tally_;
  std::vector<Slot*> again_;
  std::uint64_t asked_ = 0;
  bool stopped_ = false;
};

class Open final : public Driver {
public:
  Open(const Job& job, Tally& tally) : tally_(tally), every_(ns(1 / job.rate)) {}
  void begin(std::int64_t now) { next_ = now; }
  void record_from(std::int64_t when) { record_from_ = when; }
  void add_idle(Slot& slot) { idle_.push_back(&slot); }

  void ask_what_is_due(std::int64_t now, bool more) {
    for (; more && next_ <= now; next_ += every_) due_.push_back(next_);
    while (!due_.empty() && !idle_.empty()) {
      Slot& slot = *idle_.back();
      idle_.pop_back();
      slot.due = due_.front();
      due_.pop_front();
      slot.ask();
    }
  }
  void on_answer(Slot& slot, bool good) override {
    idle_.push_back(&slot);
    if (!good || slot.due < record_from_) return;
    const std::int64_t took = now_ns() - slot.due;
    tally_.latencies_ns.push_back(static_cast<std::uint32_t>(std::clamp<std::int64_t>(took, 0, UINT32_MAX)));
  }
  std::uint64_t outstanding(std::size_t slots) const { return slots - idle_.size() + due_.size(); }

private:
  Tally& tally_;
  std::int64_t every_, next_ = 0, record_from_ = INT64_MAX;
  std::deque<std::int64_t> due_;
  std::vector<Slot*> idle_;
};

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

}  // namespace

std::unique_ptr<Slot> make_slot(Context& context, unsigned number) {
  return context.job.kind == "ws" ? make_ws_slot(context, number) : make_http_slot(context, number);
}

Result run_closed(Loop& loop, const Job& job) {
  Result result;
  Closed driver(job, result.tally);
  const auto tls = job.tls ? std::make_unique<TlsClient>() : nullptr;
  Context context{loop, job, result.tally, driver, tls.get(), message_of(job)};
  std::vector<std::unique_ptr<Slot>> slots;
  for (unsigned i = 0; i < job.connections; ++i) slots.push_back(make_slot(context, i));
  for (const auto& slot : slots) driver.ask(*slot);
  const auto until = [&](std::int64_t end) {
    while (now_ns() < end && !driver.over()) {
      driver.ask_again();
      loop.turn(1);
    }
  };
  if (job.count == 0) until(now_ns() + ns(job.warm));
  const Mark mark(job, result.tally);
  until(now_ns() + (job.count != 0 ? ns(30) : ns(job.seconds)));
  mark.measure(job, result);
  driver.stop();
  return result;
}

Result run_open(Loop& loop, const Job& job) {
  Result result;
  Open driver(job, result.tally);
  const auto tls = job.tls ? std::make_unique<TlsClient>() : nullptr;
  Context context{loop, job, result.tally, driver, tls.get(), message_of(job)};
  std::vector<std::unique_ptr<Slot>> slots;
  for (unsigned i = 0; i < job.connections; ++i) {
    slots.push_back(make_slot(context, i));
    driver.add_idle(*slots.back());
  }
  result.tally.latencies_ns.reserve(static_cast<std::size_t>(job.rate * job.seconds * 1.1) + 16);
  const auto until = [&](std::int64_t end, bool more) {
    for (std::int64_t now = now_ns(); now < end && result.tally.errors <= kMostErrors; now = now_ns()) {
      driver.ask_what_is_due(now, more);
      loop.turn(0);
      if (!more && driver.outstanding(slots.size()) == 0) break;
    }
  };
  driver.begin(now_ns());
  until(now_ns() + ns(job.warm), true);
  driver.record_from(now_ns());
  const Mark mark(job, result.tally);
  until(now_ns() + ns(job.seconds), true);
  mark.measure(job, result);
  until(now_ns() + ns(2), false);
  result.lost = driver.outstanding(slots.size());
  return result;
}

Held::Held(Loop& loop, Job job)
    : loop_(loop),
      job_(std::move(job)),
      tls_(job_.tls ? std::make_unique<TlsClient>() : nullptr),
      context_{loop_, job_, tally_, *this, tls_.get(), message_of(job_)} {}

Held::~Held() = default;

void Held::next() {
  while (in_flight_ < 32 && slots_.size() < job_.connections && tally_.errors <= kMostErrors) {
    slots_.push_back(make_slot(context_, static_cast<unsigned>(slots_.size())));
    ++in_flight_;
    slots_.back()->ask();
  }
}

void Held::on_answer(Slot&, bool) { --in_flight_; }

Result Held::open() {
  const Mark mark(job_, tally_);
  const std::int64_t end = now_ns() + ns(60);
  do {
    next();
    loop_.turn(1);
  } while ((in_flight_ > 0 || slots_.size() < job_.connections) && now_ns() < end && tally_.errors <= kMostErrors);
  Result result;
  result.tally = tally_;
  mark.measure(job_, result);
  return result;
}

std::string Result::json() const {
  std::string out = "{";
  const auto put = [&](const char* name, const std::string& value) {
    out += (out.size() > 1 ? ", \"" : "\"") + std::string(name) + "\": " + value;
  };
  put("requests", std::to_string(requests));
  put("seconds", std::to_string(seconds));
  put("cpu_ns", std::to_string(cpu_ns));
  put("load_ns", std::to_string(load_ns));
  put("machine_ns", std::to_string(machine_ns));
  put("errors", std::to_string(tally.errors));
  put("first_error", quoted(tally.first_error));
  put("handshakes", std::to_string(handshakes));
  put("resumed", std::to_string(resumed));
  put("lost", std::to_string(lost));
  std::vector<std::uint32_t> sorted = tally.latencies_ns;
  std::sort(sorted.begin(), sorted.end());
  for (const auto& [name, share] : {std::pair{"p50_ns", 0.5}, {"p99_ns", 0.99}, {"p999_ns", 0.999}}) {
    const auto at = static_cast<std::size_t>(share * static_cast<double>(sorted.size()));
    if (!sorted.empty()) put(name, std::to_string(sorted[std::min(at, sorted.size() - 1)]));
  }
  return out + "}";
}

}  // namespace bench
