// A drill: the real proxy with a real configuration, embedded origins that fail by a scenario's timetable, clients in open
// loop, and a verdict.
#pragma once

#include <csignal>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "config/scenario.hpp"
#include "health/rehearsal/judge.hpp"
#include "proxy/drill/device.hpp"
#include "proxy/drill/load.hpp"

namespace understudy::drill {

struct Latencies {
  Micros p50{0}, p95{0}, p99{0}, worst{0};
};

// invalid: the drill itself was not good enough to say anything.
enum class Verdict : std::uint8_t { passed, failed, invalid };
std::string_view name_of(Verdict verdict);

struct Result {
  std::string file, config_file;
  config::Scenario scenario;
  Verdict verdict = Verdict::invalid;
  std::string why_invalid;
  unsigned attempts = 1;           // runs until one was valid
  std::vector<std::string> notes;  // what differed from the configuration
  std::vector<health::RehearsalCheck> checks;
  health::ScenarioFacts facts;
  health::ScenarioTimes times;
  std::uint64_t requests = 0;
  std::map<std::string, std::uint64_t> failures;               // by what they ended with: "timeout", "status 503"
  std::vector<std::pair<std::string, std::uint64_t>> answers;  // by origin, in the order of the configuration
  std::uint64_t repeated = 0;  // carried out more than once, and repeatable: retries and hedges
  Latencies latency;           // of what was answered
  Pace pace, origins_pace;
  DeviceCounts devices;
  std::vector<RequestRecord> records;  // by id
  std::vector<std::string> origins;    // labels, by RequestRecord::origin
  std::vector<std::string> log;        // faults, acts and decisions, one line each
  bool live = false;                   // of a running proxy: its clients were the load
  std::uint64_t met = 0;               // then: attempts that met a fault
};

struct Progress {
  double elapsed = 0, length = 0;  // seconds
  std::uint64_t sent = 0, failed = 0, sockets_open = 0;
  std::string serving;
  std::vector<std::string> news;  // lines of the log since the last call
};

struct Options {
  std::string config_file;                                  // for the report
  std::function<void(const Progress&)> progress;            // a few times a second
  const volatile std::sig_atomic_t* interrupted = nullptr;  // set: the run ends, and is invalid
};

// Why the drill cannot be made with that configuration, though scenario and configuration are each right; "" when it can.
std::string unfit_for_drill(const config::Scenario& scenario, const config::Config& config);

// REQUIRES: the scenario was loaded for Rung::drill and fits the configuration, this process has no other thread. Throws
// std::runtime_error where it cannot be made at all: no ports, no processes, a proxy that does not start.
Result run(const config::Scenario& scenario, const config::Config& config, const Options& options);

}  // namespace understudy::drill
