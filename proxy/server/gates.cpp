#include "proxy/server/gates.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <utility>
#include <vector>

#include "config/address.hpp"
#include "proxy/probe/prober.hpp"
#include "proxy/server/gate_command.hpp"

namespace understudy::server {

using boost::asio::io_context;
using config::GateKind;
using health::Cause;

// Shared with what is under way, so that a `done` may destroy the runner.
struct GateRunner::State : std::enable_shared_from_this<State> {
  State(io_context& context, probe::Resolver& names) : io(context), resolver(names), prober(context) {}

  struct Run {
    Run(io_context& context, health::RunGate what, Done then)
        : gate(std::move(what)), done(std::move(then)), resolving(context) {}
    health::RunGate gate;
    Done done;
    boost::asio::steady_timer resolving;           // ends the wait for the name
    std::vector<config::SocketAddress> addresses;  // of the URL's host, still to be tried
    probe::ProbeRequest request;
    std::shared_ptr<GateCommand> command;
  };
  using Runs = std::map<std::uint64_t, std::unique_ptr<Run>>;

  io_context& io;
  probe::Resolver& resolver;
  probe::Prober prober;
  Runs runs;  // by a number of our own: nothing is said of the numbers in RunGate
  std::uint64_t last = 0;

  // Calls f(Run&) if that run still waits for it.
  template <typename F>
  auto when_running(std::uint64_t id, F f) {
    return [weak = weak_from_this(), id, f](auto&&... arguments) {
      const auto self = weak.lock();
      if (!self) return;
      const auto found = self->runs.find(id);
      if (found != self->runs.end()) f(*self, *found->second, std::forward<decltype(arguments)>(arguments)...);
    };
  }

  void start(const health::RunGate& gate, Done done) {
    end_older(gate);
    const std::uint64_t id = ++last;
    Run& run = *runs.emplace(id, std::make_unique<Run>(io, gate, std::move(done))).first->second;
    switch (gate.gate.kind) {
      case GateKind::url: return fetch(id, run);
      case GateKind::command: return execute(id, run);
      case GateKind::approval: return finish_soon(id, "waits for an operator's approval");
    }
  }

  void end_older(const health::RunGate& gate) {
    for (const auto& [id, run] : runs) {
      if (run->gate.pool != gate.pool || run->gate.gate.name != gate.gate.name) continue;
      if (run->command) run->command->cancel();
      finish_soon(id, "not finished when it was asked again");
    }
  }

  void finish_soon(std::uint64_t id, std::string detail) {
    boost::asio::post(
        io, when_running(id, [id, detail = std::move(detail)](State& self, Run&) { self.finish(id, false, detail); }));
  }

  void finish(std::uint64_t id, bool passed, std::string detail) {
    const auto found = runs.find(id);
    if (found == runs.end()) return;
    const std::unique_ptr<Run> run = std::move(found->second);
    runs.erase(found);
    run->done({run->gate.pool, run->gate.gate.name, run->gate.run, passed, std::move(detail)});
  }

  // ---- a program

  void execute(std::uint64_t id, Run& run) {
    run.command = std::make_shared<GateCommand>(
        io, run.gate, when_running(id, [id](State& self, Run&, bool passed, std::string detail) {
          self.finish(id, passed, std::move(detail));
        }));
    run.command->begin();
  }

  // ---- a URL

  void fetch(std::uint64_t id, Run& run) {
    std::string problem;
    const auto url = config::parse_http_url(run.gate.gate.url, &problem);
    if (!url) return finish_soon(id, "the URL " + problem);
    config::CheckConfig check;
    check.kind = config::CheckKind::http;
    check.path = url->target;
    check.body = run.gate.gate.expect;
    check.timeout = run.gate.gate.timeout;
    run.request.check = std::make_shared<const config::CheckConfig>(std::move(check));
    run.request.host = url->address.host;
    run.request.deadline = run.gate.deadline;
    if (const auto numeric = url->address.numeric()) {
      run.addresses = {*numeric};
      return ask_next(id, run);
    }
    run.resolving.expires_at(run.gate.deadline);
    run.resolving.async_wait([late = when_running(id, [id](State& self, Run& waiting) {
                                self.finish(id, false, "no address of '" + waiting.request.host + "' in time");
                              })](const boost::system::error_code& error) {
      if (!error) late();
    });
    resolver.resolve(
        run.request.host,
        when_running(id, [id, port = url->address.port](State& self, Run& waiting, const probe::Answer& answer) {
          waiting.resolving.cancel();
          if (answer.addresses.empty())
            return self.finish(id, false, "cannot resolve '" + waiting.request.host + "': " + answer.error);
          waiting.addresses = answer.addresses;
          for (auto& address : waiting.addresses) address.port = port;
          self.ask_next(id, waiting);
        }));
  }

  void ask_next(std::uint64_t id, Run& run) {
    probe::ProbeRequest request = run.request;
    request.address = run.addresses.front();
    run.addresses.erase(run.addresses.begin());
    prober.start(std::move(request), when_running(id, [id](State& self, Run& asked, health::ProbeResult result) {
                   // A name may have an address on which nobody listens, as 'localhost' often has.
                   const bool nobody = result.cause == Cause::tcp_refused || result.cause == Cause::tcp_unreachable;
                   if (nobody && !asked.addresses.empty()) return self.ask_next(id, asked);
                   self.finish(id, result.ok(), std::move(result.detail));
                 }));
  }

  void cancel_all() {
    prober.cancel_all();
    for (const auto& [id, run] : std::exchange(runs, {})) {
      if (run->command) run->command->cancel();
    }
  }
};

GateRunner::GateRunner(io_context& io, probe::Resolver& resolver) : state_(std::make_shared<State>(io, resolver)) {}

GateRunner::~GateRunner() { state_->cancel_all(); }

void GateRunner::start(const health::RunGate& gate, Done done) { state_->start(gate, std::move(done)); }

void GateRunner::cancel_all() { state_->cancel_all(); }

std::size_t GateRunner::running() const { return state_->runs.size(); }

}  // namespace understudy::server
