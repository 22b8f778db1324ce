// /metrics: everything summed over the workers. Every label value comes from the configuration, never from a request.
#include <dirent.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "health/failover.hpp"
#include "proxy/exchange/frame_tracker.hpp"
#include "proxy/http/message.hpp"
#include "proxy/observe/exposition.hpp"
#include "proxy/server/build_commit.hpp"
#include "proxy/server/drill_metrics.hpp"
#include "proxy/server/fitness_metrics.hpp"
#include "proxy/server/parked_metrics.hpp"
#include "proxy/server/process.hpp"

namespace understudy::server {

using observe::Exposition;
using Type = Exposition::Type;
using health::Cause;

namespace {

double seconds_of(std::chrono::system_clock::time_point at) {
  return std::chrono::duration<double>(at.time_since_epoch()).count();
}

std::uint64_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long total = 0, resident = 0;
  const int n = std::fscanf(file, "%llu %llu", &total, &resident);
  std::fclose(file);
  return n == 2 ? resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

std::uint64_t open_descriptors() {
  DIR* dir = ::opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  std::uint64_t count = 0;
  while (::readdir(dir) != nullptr) ++count;
  ::closedir(dir);
  return count > 3 ? count - 3 : 0;
}

template <typename Enum>
constexpr std::size_t size_of() {
  return static_cast<std::size_t>(Enum::count);
}

}  // namespace

// One part of the page each; `sum` adds a count over the workers.
struct Process::Metrics {
  Process& p;
  Exposition& out;

  template <typename F>
  std::uint64_t sum(F f) const {
    std::uint64_t total = 0;
    for (std::size_t w = 0; w < p.workers_.size(); ++w) total += f(w);
    return total;
  }

  void process() {
    out.family("build_info", Type::gauge, "Version of this process, and the commit it was built from.");
    out.sample({{"version", UNDERSTUDY_VERSION}, {"commit", build_commit()}}, std::uint64_t{1});
    out.family("start_time_seconds", Type::gauge, "Unix time of the start.");
    out.sample({}, seconds_of(p.started_wall_));
    out.family("config_last_reload_successful", Type::gauge, "1 if the last reload was applied.");
    out.sample({}, std::uint64_t{p.last_reload_ok_});
    out.family("config_last_reload_success_timestamp_seconds", Type::gauge,
               "Unix time of the last applied configuration.");
    out.sample({}, seconds_of(p.last_reload_at_));
    out.family("config_reloads_total", Type::counter, "Reloads by result.");
    out.sample({{"result", "applied"}}, p.reloads_ok_);
    out.sample({{"result", "refused"}}, p.reloads_refused_);
    out.family("binary_upgrades_failed_total", Type::counter, "Upgrades whose new process could not serve.");
    out.sample({}, p.upgrades_failed_);
    out.family("snapshots_alive", Type::gauge, "Generations of state that something still uses.");
    out.sample({}, static_cast<std::uint64_t>(net::Snapshot::alive().load()));
    out.family("open_fds", Type::gauge, "Open descriptors.");
    out.sample({}, open_descriptors());
    out.family("memory_bytes", Type::gauge, "Resident memory.");
    out.sample({}, resident_bytes());
    out.family("connections_max", Type::gauge, "Downstream connections allowed.");
    out.sample({}, p.shared_->max_connections.load());
    out.family("starved_total", Type::counter, "Times this process did not run when it should have.");
    out.sample({}, p.starved_times_);
    out.family("worker_exceptions_total", Type::counter, "Handlers that threw; the connection was closed.");
    out.sample({}, sum([this](std::size_t w) { return p.workers_[w]->counters().exceptions.get(); }));
    out.family("control_exceptions_total", Type::counter, "Errors in the control loop, which went on.");
    out.sample({}, p.exceptions_);
    out.family("log_lines_dropped_total", Type::counter, "Log lines that found no room.");
    out.sample({{"log", "access"}}, p.files_->access_dropped());
    out.sample({{"log", "events"}}, p.files_->events_dropped());
    out.family("log_write_errors_total", Type::counter, "Failed writes of logs and state.");
    out.sample({}, p.files_->write_errors());
    out.family("upstream_idle_connections", Type::gauge, "Kept-alive connections to endpoints.");
    out.sample({}, sum([this](std::size_t w) {
                 return static_cast<std::uint64_t>(p.workers_[w]->counters().upstream_idle.get());
               }));
  }

  void listeners() {
    const auto& names = p.plan_->config.listeners;
    const auto each = [&](auto f) {
      for (std::size_t i = 0; i < names.size(); ++i) f(std::string_view(names[i].name), i);
    };
    const auto of = [&](std::size_t i, auto f) {
      return sum([&](std::size_t w) { return f(*p.counters_[w]->listeners[i]); });
    };
    out.family("connections", Type::gauge, "Open downstream connections.");
    each([&](auto name, auto i) { out.sample({{"listener", name}}, of(i, [](const auto& l) { return l.active(); })); });
    out.family("connections_accepted_total", Type::counter, "Downstream connections accepted.");
    each([&](auto name, auto i) {
      out.sample({{"listener", name}}, of(i, [](const auto& l) { return l.accepted.get(); }));
    });
    out.family("connections_rejected_total", Type::counter, "Downstream connections refused by a limit.");
    each([&](auto name, auto i) {
      for (std::size_t r = 0; r < size_of<observe::Rejection>(); ++r) {
        const auto which = static_cast<observe::Rejection>(r);
        out.sample({{"listener", name}, {"reason", observe::name_of(which)}},
                   of(i, [&](const auto& l) { return l.rejected.get(which); }));
      }
    });
    out.family("limit_hits_total", Type::counter, "Exchanges and connections ended or refused by a limit.");
    each([&](auto name, auto i) {
      for (std::size_t r = 0; r < size_of<observe::Limit>(); ++r) {
        const auto which = static_cast<observe::Limit>(r);
        out.sample({{"listener", name}, {"limit", observe::name_of(which)}},
                   of(i, [&](const auto& l) { return l.limit_hits.get(which); }));
      }
    });
    out.family("downstream_bytes_in_total", Type::counter, "Bytes from clients.");
    each([&](auto name, auto i) {
      out.sample({{"listener", name}}, of(i, [](const auto& l) { return l.bytes_in.get(); }));
    });
    out.family("downstream_bytes_out_total", Type::counter, "Bytes to clients.");
    each([&](auto name, auto i) {
      out.sample({{"listener", name}}, of(i, [](const auto& l) { return l.bytes_out.get(); }));
    });
    out.family("request_duration_seconds", Type::histogram, "Head's first byte to the answer's last.");
    const auto& routes = p.plan_->config.routes;
    const auto name_of_route = [&](std::size_t r) {
      return r < routes.size() ? std::string_view(routes[r].name) : std::string_view("none");
    };
    each([&](auto name, auto i) {
      for (std::size_t r = 0; r <= routes.size(); ++r) {
        observe::HistogramCounts counts;
        for (const auto& c : p.counters_) c->route(i, r).duration.add_to(counts);
        out.histogram({{"listener", name}, {"route", name_of_route(r)}}, counts);
      }
    });
    out.family("requests_total", Type::counter, "Requests answered.");
    each([&](auto name, auto i) {
      for (std::size_t r = 0; r <= routes.size(); ++r) {
        const std::string_view route = name_of_route(r);
        const std::string_view pool = r < routes.size() ? std::string_view(routes[r].pool) : "";
        for (std::size_t c = 0; c < size_of<observe::CodeClass>(); ++c) {
          const auto which = static_cast<observe::CodeClass>(c);
          out.sample({{"listener", name}, {"route", route}, {"pool", pool}, {"code_class", observe::name_of(which)}},
                     sum([&](std::size_t w) { return p.counters_[w]->route(i, r).requests.get(which); }));
        }
      }
    });
  }

  void protocol() {
    out.family("protocol_errors_total", Type::counter, "Bytes refused, by side and kind.");
    for (std::size_t e = 1; e < size_of<http::ParseError>(); ++e) {
      const std::string_view kind = http::kind_of(static_cast<http::ParseError>(e));
      out.sample({{"side", "downstream"}, {"kind", kind}},
                 sum([&](std::size_t w) { return p.workers_[w]->counters().request_errors[e].get(); }));
      out.sample({{"side", "upstream"}, {"kind", kind}},
                 sum([&](std::size_t w) { return p.workers_[w]->counters().response_errors[e].get(); }));
    }
    out.family("accept_errors_total", Type::counter, "Failed accepts.");
    for (std::size_t e = 0; e < size_of<observe::AcceptError>(); ++e) {
      const auto which = static_cast<observe::AcceptError>(e);
      out.sample({{"reason", observe::name_of(which)}},
                 sum([&](std::size_t w) { return p.workers_[w]->counters().accept_errors.get(which); }));
    }
    out.family("tls_handshakes_total", Type::counter, "Downstream TLS handshakes.");
    for (std::size_t v = 0; v < size_of<observe::TlsVersion>(); ++v)
      for (std::size_t r = 0; r < size_of<observe::TlsResult>(); ++r)
        out.sample({{"version", observe::name_of(static_cast<observe::TlsVersion>(v))},
                    {"result", observe::name_of(static_cast<observe::TlsResult>(r))}},
                   sum([&](std::size_t w) {
                     return p.workers_[w]->counters().tls_handshakes[v].get(static_cast<observe::TlsResult>(r));
                   }));
    out.family("tls_certificate_expiry_timestamp_seconds", Type::gauge, "Unix time when a served certificate ends.");
    for (const auto& listener : p.plan_->listeners) {
      if (!listener.tls) continue;
      for (const auto& certificate : listener.tls->certificates())
        out.sample({{"listener", listener.config->name}, {"cn", certificate.common_name}},
                   seconds_of(certificate.not_after));
    }
    out.family("loop_wheel_lateness_seconds", Type::histogram, "How late deadlines were handled.");
    observe::HistogramCounts counts;
    for (const auto& worker : p.workers_) worker->counters().wheel_lateness.add_to(counts);
    out.histogram({}, counts);
  }

  // What went through tunnels and how they ended. Closes and faults that never happened have no line.
  void tunnels() {
    const auto& names = p.plan_->config.pools;
    const auto each = [&](auto f) {
      for (std::size_t i = 0; i < names.size(); ++i)
        f(names[i].name,
          [this, i](auto of) { return sum([&](std::size_t w) { return of(*p.counters_[w]->pools[i]); }); });
    };
    out.family("websocket_messages_total", Type::counter,
               "Messages through tunnels: `in` from clients, `out` to them.");
    each([&](const std::string& pool, auto total) {
      out.sample({{"pool", pool}, {"direction", "in"}}, total([](const auto& c) { return c.messages_in.get(); }));
      out.sample({{"pool", pool}, {"direction", "out"}}, total([](const auto& c) { return c.messages_out.get(); }));
    });
    out.family("websocket_sessions_leaving_total", Type::counter, "Tunnels that were to leave at a pace.");
    each([&](const std::string& pool, auto total) {
      out.sample({{"pool", pool}}, total([](const auto& c) { return c.tunnels_leaving.get(); }));
    });
    expose_parked(out, names, p.counters_);
    out.family("websocket_pings_total", Type::counter, "Pings of the proxy to silent clients.");
    each([&](const std::string& pool, auto total) {
      out.sample({{"pool", pool}}, total([](const auto& c) { return c.pings.get(); }));
    });
    out.family("websocket_closes_total", Type::counter, "Tunnels ended, by who closed first and with which code.");
    each([&](const std::string& pool, auto total) {
      for (std::size_t who = 0; who < size_of<observe::Closer>(); ++who)
        for (std::size_t code = 0; code < observe::CloseCounters::kCodes; ++code) {
          const auto by = static_cast<observe::Closer>(who);
          const std::uint64_t n = total([&](const auto& c) { return c.closes.get(by, code); });
          if (n == 0) continue;
          out.sample({{"pool", pool}, {"by", observe::name_of(by)}, {"code", observe::CloseCounters::name_of(code)}},
                     n);
        }
    });
    out.family("websocket_frame_errors_total", Type::counter,
               "Tunnels with invalid framing, by its sender and its kind.");
    each([&](const std::string& pool, auto total) {
      for (std::size_t side = 0; side < 2; ++side)
        for (std::size_t e = 1; e < size_of<exchange::FrameError>(); ++e) {
          const std::uint64_t n = total([&](const auto& c) { return c.frame_errors[side][e].get(); });
          if (n == 0) continue;
          out.sample({{"pool", pool},
                      {"from", side == 0 ? "client" : "endpoint"},
                      {"error", exchange::name_of(static_cast<exchange::FrameError>(e))}},
                     n);
        }
    });
  }

  void pools() {
    const auto& names = p.plan_->config.pools;
    const auto counter = [&](std::string_view family, std::string_view help, auto f) {
      out.family(family, Type::counter, help);
      for (std::size_t i = 0; i < names.size(); ++i)
        out.sample({{"pool", names[i].name}}, sum([&](std::size_t w) { return f(*p.counters_[w]->pools[i]); }));
    };
    counter("retries_total", "Attempts after the first.", [](const auto& c) { return c.retries.get(); });
    const auto by_word = [&]<typename Enum>(std::string_view family, std::string_view help, std::string_view label,
                                            observe::Counters<Enum> observe::PoolCounters::*member) {
      out.family(family, Type::counter, help);
      for (std::size_t i = 0; i < names.size(); ++i)
        for (std::size_t e = 0; e < size_of<Enum>(); ++e) {
          const auto which = static_cast<Enum>(e);
          out.sample({{"pool", names[i].name}, {label, observe::name_of(which)}},
                     sum([&](std::size_t w) { return ((*p.counters_[w]->pools[i]).*member).get(which); }));
        }
    };
    by_word("retries_refused_total",
            "Retries that the budget did not allow: it is empty, or what is left is kept for other clients.", "reason",
            &observe::PoolCounters::retries_refused);
    by_word("hedges_total", "Second attempts beside a slow one, by what became of them.", "result",
            &observe::PoolCounters::hedges);
    by_word("hedges_refused_total", "Requests that were to have a second attempt and had none at once, by reason.",
            "reason", &observe::PoolCounters::hedges_refused);
    counter("fallthrough_total", "Attempts on another tier than the designated one.",
            [](const auto& c) { return c.fallthrough.get(); });
    counter("unavailable_total", "Requests for which no endpoint was available.",
            [](const auto& c) { return c.unavailable.get(); });
    counter("shed_total", "Requests answered 503 because the serving tier has as many as it can answer.",
            [](const auto& c) { return c.shed.get(); });
    counter("requests_queued_total",
            "Requests that waited for a tier that can take them, or for their turn to be opened.",
            [](const auto& c) { return c.queued.get(); });
    counter("upstream_connections_opened_total", "Connections dialled.",
            [](const auto& c) { return c.connections_opened.get(); });
    counter("upstream_connections_reused_total", "Attempts on a kept-alive connection.",
            [](const auto& c) { return c.connections_reused.get(); });
    counter("websocket_sessions_opened_total", "Tunnels opened.", [](const auto& c) { return c.tunnels_opened.get(); });
    out.family("websocket_sessions", Type::gauge, "Open tunnels.");
    for (std::size_t i = 0; i < names.size(); ++i)
      out.sample({{"pool", names[i].name}},
                 sum([&](std::size_t w) { return p.counters_[w]->pools[i]->tunnels_active(); }));
    by_word("websocket_openings_refused_total", "WebSockets answered 503 because too many are being opened, by reason.",
            "reason", &observe::PoolCounters::openings_refused);
    counter("websocket_openings_queued_total", "WebSockets that waited for their turn to be opened.",
            [](const auto& c) { return c.openings_queued.get(); });
    counter("websocket_openings_busy_total", "Openings that an endpoint had no capacity for, tried again.",
            [](const auto& c) { return c.openings_busy.get(); });
    by_word("websocket_sessions_closed_total", "Tunnels ended, by reason.", "reason",
            &observe::PoolCounters::tunnels_closed);
    tunnels();
    const auto histogram = [&](std::string_view family, std::string_view help, auto member) {
      out.family(family, Type::histogram, help);
      for (std::size_t i = 0; i < names.size(); ++i) {
        observe::HistogramCounts counts;
        for (const auto& c : p.counters_) ((*c->pools[i]).*member).add_to(counts);
        out.histogram({{"pool", names[i].name}}, counts);
      }
    };
    histogram("upstream_connect_seconds", "Dial to connected.", &observe::PoolCounters::connect);
    histogram("upstream_duration_seconds", "Request sent to the first byte of the answer.",
              &observe::PoolCounters::first_byte);
    histogram("websocket_open_seconds", "Attempt begun to 101.", &observe::PoolCounters::websocket_open);
    histogram("websocket_opening_wait_seconds", "Wait for a turn to be opened, of those that waited.",
              &observe::PoolCounters::opening_wait);
  }

  void health() {
    const auto pools = p.core_.status();
    const auto tier_gauge = [&](std::string_view family, std::string_view help, auto f) {
      out.family(family, Type::gauge, help);
      for (const auto& pool : pools)
        for (std::size_t t = 0; t < pool.tiers.size(); ++t)
          out.sample({{"pool", pool.name}, {"tier", pool.tiers[t].name}}, static_cast<std::uint64_t>(f(pool, t)));
    };
    tier_gauge("tier_active", "1 for the designated tier.",
               [](const auto& pool, std::size_t t) { return pool.active == t; });
    tier_gauge("tier_serviceable", "1 if the tier has enough available endpoints.",
               [](const auto& pool, std::size_t t) { return pool.tiers[t].serviceable; });
    tier_gauge("tier_panic", "1 while all endpoints are used because too few are available.",
               [](const auto& pool, std::size_t t) { return pool.tiers[t].panic; });
    tier_gauge("tier_available_endpoints", "Endpoints that may take new work.", [](const auto& pool, std::size_t t) {
      std::uint64_t n = 0;
      for (const auto& e : pool.tiers[t].endpoints) n += e.available;
      return n;
    });
    tier_gauge("tier_endpoints", "Endpoints.",
               [](const auto& pool, std::size_t t) { return pool.tiers[t].endpoints.size(); });
    tier_gauge("tier_degraded", "1 while a threshold is breached for long enough.",
               [](const auto& pool, std::size_t t) { return pool.tiers[t].degraded; });
    out.family("failover_epoch", Type::gauge, "Counts changes of the designated tier.");
    for (const auto& pool : pools) out.sample({{"pool", pool.name}}, pool.epoch);
    failovers(pools);
    out.family("tier_share", Type::gauge, "Part of the traffic that is due to the tier, by serving, ramp and spill.");
    for (const auto& pool : pools)
      for (const auto& tier : pool.tiers) out.sample({{"pool", pool.name}, {"tier", tier.name}}, tier.share);
    out.family("tier_max_unanswered", Type::gauge,
               "Requests that may wait for an answer at once; only while it sheds.");
    for (const auto& pool : pools)
      for (const auto& tier : pool.tiers)
        if (tier.max_unanswered)
          out.sample({{"pool", pool.name}, {"tier", tier.name}}, std::uint64_t{*tier.max_unanswered});
    out.family("pool_surge", Type::gauge, "1 while far more is asked than is usual.");
    for (const auto& pool : pools) out.sample({{"pool", pool.name}}, std::uint64_t{pool.surge});
    out.family("failback_total", Type::counter, "Returns to a higher tier.");
    for (const auto& pool : pools) out.sample({{"pool", pool.name}}, pool.failbacks);
    out.family("maintenance", Type::gauge, "1 while the pool answers 503 on request.");
    for (const auto& pool : pools) out.sample({{"pool", pool.name}}, std::uint64_t{pool.maintenance});
    decisions(pools);
    expose_fitness(out, pools);
    expose_copies(out, p.copies_);
    p.expose_openings(out, pools);
    endpoints(pools);
    checks(pools);
  }

  // What the core is about and what came of it.
  void decisions(const std::vector<::understudy::health::PoolStatus>& pools) {
    using Phase = ::understudy::health::Failover::Phase;
    out.family("pool_phase", Type::gauge, "One series per phase of the failover; 1 for the one it is in.");
    for (const auto& pool : pools)
      for (int i = 0; i <= static_cast<int>(Phase::returning); ++i) {
        const std::string_view phase = ::understudy::health::name_of(static_cast<Phase>(i));
        out.sample({{"pool", pool.name}, {"phase", phase}}, std::uint64_t{pool.phase == phase});
      }
    out.family("verdict_total", Type::counter, "Moves judged afterwards, by result.");
    for (const auto& pool : pools) {
      out.sample({{"pool", pool.name}, {"result", "succeeded"}}, pool.verdicts.succeeded);
      out.sample({{"pool", pool.name}, {"result", "failed"}}, pool.verdicts.failed);
      out.sample({{"pool", pool.name}, {"result", "undecided"}}, pool.verdicts.undecided);
    }
    out.family("gate_passed", Type::gauge, "1 if this condition of a return has passed since the last move.");
    for (const auto& pool : pools)
      for (const auto& gate : pool.gates)
        out.sample({{"pool", pool.name}, {"gate", gate.name}}, std::uint64_t{gate.passed});
  }

  template <typename F>
  void each_endpoint(const std::vector<::understudy::health::PoolStatus>& pools, F f) {
    for (const auto& pool : pools)
      for (const auto& tier : pool.tiers)
        for (const auto& e : tier.endpoints) f(pool.name, tier.name, e);
  }

  // Every pair of tiers that a pool can fail over between, from the start on: a first failover shows as a step from zero.
  void failovers(const std::vector<::understudy::health::PoolStatus>& pools) {
    out.family("failover_total", Type::counter, "Changes of the designated tier to a lower one, by class of cause.");
    for (const auto& pool : pools)
      for (std::size_t from = 0; from < pool.tiers.size(); ++from)
        for (std::size_t to = from + 1; to < pool.tiers.size(); ++to)
          for (std::size_t c = 0; c < kMoveClasses.size(); ++c)
            out.sample({{"pool", pool.name},
                        {"from", pool.tiers[from].name},
                        {"to", pool.tiers[to].name},
                        {"class", kMoveClasses[c]}},
                       p.counts_.failovers(pool.name, pool.tiers[from].name, pool.tiers[to].name, c));
    out.family("failover_duration_seconds", Type::histogram,
               "First sign of the trouble (a failed check, a suspect, a threshold crossed) to the move; ordered moves "
               "don't count.");
    for (const auto& pool : pools)
      for (std::size_t from = 0; from < pool.tiers.size(); ++from)
        for (std::size_t to = from + 1; to < pool.tiers.size(); ++to) {
          observe::HistogramCounts counts;
          if (const auto* moves = p.counts_.failover_duration(pool.name, pool.tiers[from].name, pool.tiers[to].name))
            moves->add_to(counts);
          out.histogram({{"pool", pool.name}, {"from", pool.tiers[from].name}, {"to", pool.tiers[to].name}}, counts);
        }
    out.family("failover_last_timestamp_seconds", Type::gauge,
               "Unix time of the last change of the designated tier; 0 while there was none.");
    for (const auto& pool : pools) {
      const auto at = p.counts_.last_move(pool.name);
      out.sample({{"pool", pool.name}}, at ? seconds_of(*at) : 0.0);
    }
  }

  void checks(const std::vector<::understudy::health::PoolStatus>& pools) {
    out.family("check_total", Type::counter, "Active checks by result.");
    each_endpoint(pools, [&](const auto& pool, const auto& tier, const auto& e) {
      const auto* checks = p.counts_.checks(e.id);
      for (const bool ok : {true, false})
        out.sample({{"pool", pool},
                    {"tier", tier},
                    {"endpoint", e.label},
                    {"address", e.address},
                    {"result", ok ? "ok" : "failed"}},
                   checks ? (ok ? checks->ok : checks->failed) : std::uint64_t{0});
    });
    out.family("check_duration_seconds", Type::histogram, "How long active checks took.");
    each_endpoint(pools, [&](const auto& pool, const auto& tier, const auto& e) {
      observe::HistogramCounts counts;
      if (const auto* checks = p.counts_.checks(e.id)) checks->duration.add_to(counts);
      out.histogram({{"pool", pool}, {"tier", tier}, {"endpoint", e.label}, {"address", e.address}}, counts);
    });
  }

  void incidents() {
    const auto& totals = p.incidents_->totals();
    out.family("incidents_opened_total", Type::counter, "Incidents that began since the start.");
    out.sample({}, totals.opened);
    out.family("incidents_total", Type::counter, "Incidents that ended since the start, by severity.");
    for (std::size_t s = 0; s < totals.by_severity.size(); ++s)
      out.sample({{"severity", incident::name_of(static_cast<incident::Severity>(s))}}, totals.by_severity[s]);
    out.family("incident_open", Type::gauge, "1 while an incident of the pool is open.");
    for (const auto& pool : p.plan_->config.pools)
      out.sample({{"pool", pool.name}}, std::uint64_t{p.incidents_->open().contains(pool.name)});
    out.family("incident_lines_dropped_total", Type::counter, "Lines of incidents that found no room.");
    out.sample({}, totals.dropped);
    out.family("incident_write_errors_total", Type::counter, "Failed writes of incidents.");
    out.sample({}, totals.errors);
    const auto alerts = p.alerts_->totals();
    out.family("alerts_sent_total", Type::counter,
               "Alerts, by result: messages delivered, attempts that failed, messages dropped.");
    for (const auto& alert : alerts) {
      out.sample({{"target", alert.name}, {"result", "delivered"}}, alert.sent);
      out.sample({{"target", alert.name}, {"result", "failed"}}, alert.failed);
      out.sample({{"target", alert.name}, {"result", "dropped"}}, alert.dropped);
    }
    out.family("alerts_waiting", Type::gauge, "Messages not delivered yet.");
    for (const auto& alert : alerts) out.sample({{"target", alert.name}}, alert.waiting);
    expose_drills(out, p.plan_->config, p.drills_, p.duties_);
  }

  void admin() {
    const auto c = p.admin_ ? p.admin_->counters() : ::understudy::admin::Counters{};
    out.family("admin_connections", Type::gauge, "Open connections of the admin API.");
    out.sample({}, c.connections);
    out.family("admin_requests_total", Type::counter, "Requests to the admin API.");
    out.sample({}, c.requests);
    out.family("admin_rejected_total", Type::counter, "Requests and connections that the admin API refused or ended.");
    for (const auto& [reason, count] : {std::pair{"rules", c.refused},
                                        {"failed_login", c.failed_logins},
                                        {"too_many_logins", c.rate_limited},
                                        {"malformed", c.malformed},
                                        {"timeout", c.timeouts},
                                        {"evicted", c.evicted},
                                        {"connections", c.turned_away},
                                        {"accept_error", c.accept_errors}})
      out.sample({{"reason", reason}}, count);
  }

  void endpoints(const std::vector<::understudy::health::PoolStatus>& pools) {
    using namespace ::understudy::health;
    out.family("endpoint_state", Type::gauge, "One series per state; 1 for the one it is in.");
    each_endpoint(pools, [&](const auto& pool, const auto& tier, const EndpointStatus& e) {
      const auto is = [&](std::string_view state, bool value) {
        out.sample({{"pool", pool}, {"tier", tier}, {"endpoint", e.label}, {"address", e.address}, {"state", state}},
                   std::uint64_t{value});
      };
      const bool enabled = e.operator_state == OperatorState::enabled || e.operator_state == OperatorState::held;
      is("available", e.available);
      is("unhealthy", enabled && e.active == ActiveState::unhealthy);
      is("unknown", enabled && e.active == ActiveState::unknown);
      is("ejected", enabled && e.passive == PassiveState::ejected);
      is("draining", e.operator_state == OperatorState::draining);
      is("disabled", e.operator_state == OperatorState::disabled);
      is("held", e.operator_state == OperatorState::held);
      is("quarantined", e.quarantined);
    });
    out.family("endpoint_suspect", Type::gauge, "1 while real requests make it doubtful.");
    each_endpoint(pools, [&](const auto& pool, const auto& tier, const EndpointStatus& e) {
      out.sample({{"pool", pool}, {"tier", tier}, {"endpoint", e.label}, {"address", e.address}},
                 std::uint64_t{!e.suspicion.empty()});
    });
    out.family("endpoint_in_flight", Type::gauge, "Requests under way.");
    each_endpoint(pools, [&](const auto& pool, const auto& tier, const EndpointStatus& e) {
      out.sample({{"pool", pool}, {"tier", tier}, {"endpoint", e.label}, {"address", e.address}},
                 std::uint64_t{e.load ? e.load->in_flight.load(std::memory_order_relaxed) : 0});
    });
    out.family("endpoint_tunnels", Type::gauge, "Open tunnels.");
    each_endpoint(pools, [&](const auto& pool, const auto& tier, const EndpointStatus& e) {
      out.sample({{"pool", pool}, {"tier", tier}, {"endpoint", e.label}, {"address", e.address}},
                 std::uint64_t{e.load ? e.load->tunnels.load(std::memory_order_relaxed) : 0});
    });
    out.family("upstream_requests_total", Type::counter, "Attempts begun.");
    each_endpoint(pools, [&](const auto& pool, const auto& tier, const EndpointStatus& e) {
      out.sample({{"pool", pool}, {"tier", tier}, {"endpoint", e.label}, {"address", e.address}},
                 sum([&](std::size_t w) {
                   const auto* c = p.workers_[w]->endpoint_counters().get(e.id);
                   return c ? c->requests.get() : 0;
                 }));
    });
    out.family("upstream_errors_total", Type::counter, "Attempts that failed, by cause.");
    each_endpoint(pools, [&](const auto& pool, const auto& tier, const EndpointStatus& e) {
      for (std::size_t i = 1; i < size_of<Cause>(); ++i) {
        const auto cause = static_cast<Cause>(i);
        out.sample({{"pool", pool},
                    {"tier", tier},
                    {"endpoint", e.label},
                    {"address", e.address},
                    {"reason", ::understudy::health::name_of(cause)}},
                   sum([&](std::size_t w) {
                     const auto* c = p.workers_[w]->endpoint_counters().get(e.id);
                     return c ? c->outcomes.get(cause) : 0;
                   }));
      }
    });
  }
};

std::string Process::metrics(bool openmetrics) {
  Exposition out(openmetrics ? Exposition::Format::openmetrics : Exposition::Format::prometheus);
  Metrics parts{*this, out};
  parts.process();
  parts.listeners();
  parts.protocol();
  parts.pools();
  parts.health();
  parts.incidents();
  parts.admin();
  return out.finish();
}

}  // namespace understudy::server
