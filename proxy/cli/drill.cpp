#include "proxy/cli/drill.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <vector>

#include "config/scenario_fit.hpp"
#include "config/text.hpp"
#include "config/units.hpp"
#include "proxy/admin/status_text.hpp"
#include "proxy/cli/daemon.hpp"
#include "proxy/drill/live.hpp"
#include "proxy/drill/report.hpp"
#include "proxy/drill/run.hpp"

namespace understudy::cli {
namespace {

constexpr int kNoDaemon = 3;

volatile std::sig_atomic_t interrupted = 0;
extern "C" void on_interrupt(int) { interrupted = 1; }

struct Prepared {
  std::string file, config_file;
  std::string text;  // of the scenario
  config::Scenario scenario;
  config::Config config;
  std::vector<std::string> left_out;  // of the expectations, with --short
};

// Everything is read and judged before anything is started.
class Preparation {
public:
  Preparation(const Arguments& arguments, const config::LoadContext& context, std::ostream& err)
      : arguments_(arguments), context_(context), err_(err) {}

  std::optional<std::vector<Prepared>> all() {
    std::vector<Prepared> drills;
    for (const std::string& file : arguments_.scenarios) {
      if (auto one = arguments_.live ? prepare_live(file) : prepare(file)) drills.push_back(std::move(*one));
    }
    if (drills.size() != arguments_.scenarios.size()) return std::nullopt;
    return drills;
  }

private:
  void complain(const std::string& file, const std::string& message, const std::string& hint = "") {
    config::Diagnostic diagnostic;
    diagnostic.file = file;
    diagnostic.message = message;
    diagnostic.hint = hint;
    err_ << config::render({diagnostic}, "");
  }

  std::optional<std::string> read(const std::string& file) {
    auto text = context_.read_file ? context_.read_file(file) : std::nullopt;
    if (!text) complain(file, "cannot read the file");
    return text;
  }

  // Whether it fits is for the running proxy to say, which knows its configuration.
  std::optional<Prepared> prepare_live(const std::string& file) {
    auto text = read(file);
    if (!text) return std::nullopt;
    config::ScenarioResult scenario = config::load_scenario(*text, file, config::Rung::live);
    err_ << config::render(scenario.diagnostics, *text);
    if (!scenario.scenario) return std::nullopt;
    return Prepared{file, "", std::move(*text), std::move(*scenario.scenario), {}, {}};
  }

  std::optional<Prepared> prepare(const std::string& file) {
    const auto text = read(file);
    if (!text) return std::nullopt;
    config::ScenarioResult scenario = config::load_scenario(*text, file, config::Rung::drill);
    err_ << config::render(scenario.diagnostics, *text);
    if (!scenario.scenario) return std::nullopt;
    const std::string config_file = arguments_.config.empty() ? scenario.scenario->config : arguments_.config;
    if (config_file.empty()) {
      complain(file, "it names no configuration",
               "give one with --config, or write config = \"understudy.toml\" at the top of the file");
      return std::nullopt;
    }
    const auto config_text = read(config_file);
    if (!config_text) return std::nullopt;
    config::LoadContext context = context_;
    config::LoadResult loaded = config::load(*config_text, config_file, context);
    err_ << config::render(loaded.diagnostics, *config_text);
    if (!loaded.config) return std::nullopt;
    const auto placed = config::placed_mismatches(*scenario.scenario, *loaded.config, *text, file);
    err_ << config::render(placed, *text);
    if (!placed.empty()) return std::nullopt;
    std::vector<std::string> misfits;
    const std::string unfit = drill::unfit_for_drill(*scenario.scenario, *loaded.config);
    if (!unfit.empty()) misfits.push_back(unfit);
    if (arguments_.in_short && !scenario.scenario->short_length)
      misfits.emplace_back("it has no shortened form; write short = \"12s\" at the top, or leave --short out");
    for (const std::string& misfit : misfits) complain(file, misfit);
    if (!misfits.empty()) return std::nullopt;
    Prepared made{file, config_file, *text, std::move(*scenario.scenario), std::move(*loaded.config), {}};
    if (arguments_.in_short) made.scenario = config::shortened(std::move(made.scenario), made.left_out);
    return made;
  }

  const Arguments& arguments_;
  const config::LoadContext& context_;
  std::ostream& err_;
};

// Where reports go; opened first, so that a drill is not made for nothing.
bool can_write(const std::string& file, std::ostream& err) {
  if (file.empty()) return true;
  if (std::ofstream(file, std::ios::binary | std::ios::app)) return true;
  err << file << ": error: cannot write the file\n";
  return false;
}

bool write(const std::string& file, const std::string& text, std::ostream& err) {
  if (file.empty()) return true;
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << text;
  out.flush();
  if (out) return true;
  err << file << ": error: cannot write the file\n";
  return false;
}

class ProgressLine {
public:
  ProgressLine(bool moves, std::ostream& out) : moves_(moves), out_(out) {}

  void show(const drill::Progress& progress) {
    if (moves_) clear();
    for (const std::string& line : progress.news) out_ << config::printable(line, 600) << "\n";
    const bool is_due = moves_ || progress.elapsed >= next_ || progress.elapsed >= progress.length;
    if (is_due) {
      next_ = progress.elapsed + 5;
      out_ << bar(progress) << (moves_ ? "" : "\n");
    }
    out_.flush();
  }
  void clear() {
    if (moves_) out_ << "\r\x1b[K";
  }

private:
  static std::string bar(const drill::Progress& progress) {
    constexpr int width = 24;
    const int filled = static_cast<int>(width * progress.elapsed / std::max(0.001, progress.length));
    char text[200];
    std::snprintf(text, sizeof text, "[%s%s] %.0f of %.0f s  %llu requests, %llu failed  ",
                  std::string(static_cast<std::size_t>(filled), '#').c_str(),
                  std::string(static_cast<std::size_t>(width - filled), '.').c_str(), progress.elapsed, progress.length,
                  static_cast<unsigned long long>(progress.sent), static_cast<unsigned long long>(progress.failed));
    std::string line = text;
    if (progress.sockets_open > 0) line += std::to_string(progress.sockets_open) + " WebSockets  ";
    return line + config::printable(progress.serving, 60) + " serves";
  }

  bool moves_;
  std::ostream& out_;
  double next_ = 0;
};

drill::Result run_one(const Prepared& prepared, std::uint64_t retries, bool terminal, std::ostream& out) {
  for (unsigned attempt = 1;; ++attempt) {
    ProgressLine line(terminal, out);
    out << config::printable(prepared.scenario.name, 200) << ": " << config::format_duration(prepared.scenario.length)
        << "\n";
    drill::Options options;
    options.config_file = prepared.config_file;
    options.interrupted = &interrupted;
    options.progress = [&line](const drill::Progress& progress) { line.show(progress); };
    drill::Result result = drill::run(prepared.scenario, prepared.config, options);
    line.clear();
    result.file = prepared.file;
    result.attempts = attempt;
    for (const std::string& expectation : prepared.left_out)
      result.notes.push_back("in the shortened form '" + expectation + "' is not looked at");
    out << "\n" << drill::report_text(result, false) << "\n";
    if (result.verdict != drill::Verdict::invalid || interrupted != 0 || attempt > retries) return result;
    out << "once more, as that run was invalid\n";
  }
}

// Nothing: refused, and said why.
std::optional<drill::Result> run_one_live(const Prepared& prepared, const Daemon& daemon, bool terminal,
                                          std::ostream& out, std::ostream& err) {
  admin::ClientOptions proxy;
  proxy.address = daemon.address;
  proxy.token = daemon.token;
  ProgressLine line(terminal, out);
  out << config::printable(prepared.scenario.name, 200) << ": " << config::format_duration(prepared.scenario.length)
      << ", live\n";
  drill::Options options;
  options.config_file = "the running proxy at " + daemon.address.text;
  options.interrupted = &interrupted;
  options.progress = [&line](const drill::Progress& progress) { line.show(progress); };
  auto ran = drill::run_live(prepared.scenario, prepared.text, prepared.file, proxy, options);
  line.clear();
  if (const auto* refused = std::get_if<drill::Refused>(&ran)) {
    err << prepared.file << ": refused (" << refused->status << "): " << admin::printable(refused->title) << "\n";
    for (std::size_t at = 0; at < refused->detail.size();) {
      const std::size_t end = std::min(refused->detail.find('\n', at), refused->detail.size());
      err << admin::printable(refused->detail.substr(at, end - at)) << "\n";
      at = end + 1;
    }
    return std::nullopt;
  }
  auto& result = std::get<drill::Result>(ran);
  result.file = prepared.file;
  out << "\n" << drill::report_text(result, false) << "\n";
  return std::move(result);
}

int code_of(const std::vector<drill::Result>& results) {
  const auto any = [&results](drill::Verdict verdict) {
    return std::any_of(results.begin(), results.end(), [&](const auto& result) { return result.verdict == verdict; });
  };
  if (any(drill::Verdict::failed)) return 1;
  return any(drill::Verdict::invalid) ? kDrillInvalid : 0;
}

}  // namespace

int run_drills(const Arguments& arguments, const config::LoadContext& context, bool out_is_terminal, std::ostream& out,
               std::ostream& err) {
  const auto drills = Preparation(arguments, context, err).all();
  if (!drills) return 2;
  if (!arguments.requests.empty() && drills->size() > 1) {
    err << "understudy: --requests lists those of one drill; name one file\n";
    return 2;
  }
  for (const std::string& file : {arguments.json_file, arguments.junit, arguments.markdown_file, arguments.requests})
    if (!can_write(file, err)) return 2;
  Daemon daemon;
  if (arguments.live) {
    auto found = find_daemon(arguments, context);
    if (const auto* none = std::get_if<NoDaemon>(&found)) {
      err << "understudy: " << none->why << "\n";
      return none->code;
    }
    daemon = std::get<Daemon>(std::move(found));
  }
  interrupted = 0;
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  std::signal(SIGPIPE, SIG_IGN);
  std::vector<drill::Result> results;
  bool could = true, refused = false;
  for (const Prepared& prepared : *drills) {
    if (interrupted != 0) break;
    try {
      if (!arguments.live) {
        results.push_back(run_one(prepared, arguments.retries, out_is_terminal, out));
      } else if (auto result = run_one_live(prepared, daemon, out_is_terminal, out, err)) {
        results.push_back(std::move(*result));
      } else {
        refused = true;
      }
    } catch (const std::runtime_error& error) {
      err << prepared.file << ": error: " << error.what() << "\n";
      if (arguments.live && results.empty()) return kNoDaemon;
      could = false;
    }
  }
  if (drills->size() > 1) out << drill::report_markdown(results);
  bool written = write(arguments.json_file, drill::report_json(results), err);
  written = write(arguments.junit, drill::report_junit(results), err) && written;
  written = write(arguments.markdown_file, drill::report_markdown(results), err) && written;
  if (!results.empty()) written = write(arguments.requests, drill::requests_csv(results.front()), err) && written;
  const int code = code_of(results);
  if (!written || !could) return 1;
  if (refused && code == 0) return 2;
  return code == 0 && interrupted != 0 ? kDrillInvalid : code;
}

}  // namespace understudy::cli
