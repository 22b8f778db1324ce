#include "proxy/probe/prober.hpp"

#include <boost/asio/post.hpp>
#include <deque>
#include <unordered_map>
#include <utility>

#include "proxy/probe/probe.hpp"

namespace understudy::probe {

// Shared with the probes' reports, so that a `done` may destroy the prober.
struct Prober::State : std::enable_shared_from_this<State> {
  State(boost::asio::io_context& context, std::size_t limit) : io(context), max_running(limit) {}

  struct Entry {
    std::shared_ptr<Probe> probe;
    Done done;
    bool started = false;
  };

  boost::asio::io_context& io;
  const std::size_t max_running;
  std::unordered_map<const Probe*, Entry> entries;
  std::deque<std::weak_ptr<Probe>> queue;  // ended ones are skipped when their turn comes
  std::size_t running = 0;
  bool pump_posted = false;

  void start(ProbeRequest request, Done done) {
    auto probe = std::make_shared<Probe>(io, std::move(request),
                                         [weak = weak_from_this()](Probe& ended, health::ProbeResult result) {
                                           if (const auto self = weak.lock()) self->ended(ended, std::move(result));
                                         });
    entries.emplace(probe.get(), Entry{probe, std::move(done)});
    queue.push_back(probe);
    probe->arm();
    post_pump();
  }

  void post_pump() {
    if (std::exchange(pump_posted, true)) return;
    boost::asio::post(io, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->pump();
    });
  }

  void pump() {
    pump_posted = false;
    while (running < max_running && !queue.empty()) {
      const auto probe = queue.front().lock();
      queue.pop_front();
      const auto found = entries.find(probe.get());
      if (!probe || found == entries.end()) continue;  // its deadline came first
      found->second.started = true;
      ++running;
      probe->begin();
    }
  }

  void ended(const Probe& probe, health::ProbeResult result) {
    const auto found = entries.find(&probe);
    if (found == entries.end()) return;
    const Entry entry = std::move(found->second);
    entries.erase(found);
    if (entry.started) --running;
    if (!queue.empty()) post_pump();
    entry.done(std::move(result));
  }

  void cancel_all() {
    queue.clear();
    running = 0;
    for (const auto& [key, entry] : std::exchange(entries, {})) entry.probe->cancel();
  }
};

Prober::Prober(boost::asio::io_context& io, std::size_t max_running)
    : state_(std::make_shared<State>(io, max_running)) {}

Prober::~Prober() { state_->cancel_all(); }

void Prober::start(ProbeRequest request, Done done) { state_->start(std::move(request), std::move(done)); }

void Prober::cancel_all() { state_->cancel_all(); }

std::size_t Prober::running() const { return state_->running; }

std::size_t Prober::queued() const { return state_->entries.size() - state_->running; }

}  // namespace understudy::probe
