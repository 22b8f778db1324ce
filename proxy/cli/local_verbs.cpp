#include "proxy/cli/local_verbs.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/version.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

#include "config/load.hpp"
#include "config/scenario.hpp"
#include "proxy/cli/check_files.hpp"
#include "proxy/cli/drill.hpp"
#include "proxy/cli/rehearse.hpp"
#include "proxy/demo/demo.hpp"
#include "proxy/server/build_commit.hpp"
#include "proxy/server/run.hpp"

namespace understudy::cli {
namespace {

std::string config_file(const Arguments& arguments) {
  return arguments.config.empty() ? kDefaultConfig : arguments.config;
}

constexpr const char* kReadRemedy = "name another file, or write one with 'understudy init'";

std::optional<std::string> read_text(const std::string& file) {
  std::string why;
  auto text = server::read_text(file, why);
  if (!text) std::cerr << file << ": error: cannot read the file: " << why << "\n  " << kReadRemedy << "\n";
  return text;
}

// What no editor can show in the text is a finding without a place.
config::Diagnostic unreadable(const std::string& file, const std::string& why) {
  config::Diagnostic finding;
  finding.file = file;
  finding.message = "cannot read the file: " + why;
  finding.hint = kReadRemedy;
  return finding;
}

void print_text(const std::string& text) { std::cout << text << (text.ends_with('\n') ? "" : "\n"); }

std::string plural(std::size_t count, const std::string& word) {
  return std::to_string(count).append(" ").append(word).append(count == 1 ? "" : "s");
}

std::string summary(const config::Config& config) {
  std::size_t endpoints = 0;
  for (const auto& pool : config.pools) {
    for (const auto& tier : pool.tiers) endpoints += tier.endpoints.size();
  }
  return plural(config.listeners.size(), "listener")
      .append(", ")
      .append(plural(config.routes.size(), "route"))
      .append(", ")
      .append(plural(config.pools.size(), "pool"))
      .append(", ")
      .append(plural(endpoints, "endpoint"));
}

std::size_t count(const std::vector<config::Diagnostic>& findings, config::Severity severity) {
  return static_cast<std::size_t>(
      std::count_if(findings.begin(), findings.end(), [&](const auto& f) { return f.severity == severity; }));
}

int check(const Arguments& arguments) {
  const std::string file = config_file(arguments);
  std::string why;
  const auto text = server::read_text(file, why);
  if (!text) {
    if (arguments.json)
      print_text(config::render_json({unreadable(file, why)}));
    else
      std::cerr << config::render({unreadable(file, why)}, "");
    return 1;
  }
  config::LoadResult loaded = config::load(*text, file, server::system_context(!arguments.no_files));
  if (loaded.config && !arguments.no_files) {
    const auto tls = check_tls_of(loaded, file);
    loaded.diagnostics.insert(loaded.diagnostics.end(), tls.begin(), tls.end());
    std::stable_sort(loaded.diagnostics.begin(), loaded.diagnostics.end(), [](const auto& a, const auto& b) {
      return std::pair(a.line, a.column) < std::pair(b.line, b.column);
    });
  }
  const std::size_t errors = count(loaded.diagnostics, config::Severity::error);
  const std::size_t warnings = count(loaded.diagnostics, config::Severity::warning);
  const bool good = errors == 0 && loaded.config && !(arguments.strict && warnings > 0);
  if (arguments.json) {
    print_text(config::render_json(loaded.diagnostics));
    return good ? 0 : 1;
  }
  if (!loaded.diagnostics.empty()) std::cerr << config::render(loaded.diagnostics, *text);
  if (good) {
    std::cout << file << ": good: " << summary(*loaded.config) << (warnings ? ", " + plural(warnings, "warning") : "")
              << "\n";
  } else {
    std::cerr << file << ": " << plural(errors, "error") << ", " << plural(warnings, "warning")
              << (errors == 0 ? ", and --strict fails on warnings" : "") << "\n";
  }
  return good ? 0 : 1;
}

int config_show(const Arguments& arguments) {
  const std::string file = config_file(arguments);
  const auto text = read_text(file);
  if (!text) return 1;
  const config::LoadResult loaded = config::load(*text, file, server::system_context());
  if (!loaded.diagnostics.empty()) std::cerr << config::render(loaded.diagnostics, *text);
  if (!loaded.config) return 1;
  print_text(config::show(loaded, arguments.defaults));
  return 0;
}

int init(const Arguments& arguments) {
  // O_EXCL: neither a file nor a link that somebody put there is overwritten.
  const int fd = ::open(arguments.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) {
    std::cerr << arguments.path << ": error: "
              << (errno == EEXIST ? "exists already and is not overwritten; give another path or remove it"
                                  : std::strerror(errno))
              << "\n";
    return 1;
  }
  const std::string text = config::starter_file();
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  const int error = errno;
  if (::close(fd) != 0 || done < text.size()) {
    std::cerr << arguments.path << ": error: cannot write: " << std::strerror(error) << "\n";
    ::unlink(arguments.path.c_str());
    return 1;
  }
  std::cout << "wrote " << arguments.path << "; next: understudy check " << arguments.path << " && understudy run -c "
            << arguments.path << "\n";
  return 0;
}

int version(const Arguments& arguments) {
  const std::string boost =
      std::to_string(BOOST_VERSION / 100000).append(".").append(std::to_string(BOOST_VERSION / 100 % 1000));
#ifdef NDEBUG
  const char* build = "release";
#else
  const char* build = "debug";
#endif
  if (arguments.json) {
    std::cout << boost::json::serialize(boost::json::object{{"version", UNDERSTUDY_VERSION},
                                                            {"commit", server::build_commit()},
                                                            {"build", build},
                                                            {"compiler", __VERSION__},
                                                            {"boost", boost},
                                                            {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)}})
              << "\n";
    return 0;
  }
  std::cout << "understudy " << UNDERSTUDY_VERSION << " (commit " << server::build_commit() << ", " << build
            << ", compiler " << __VERSION__ << ", Boost " << boost << ", OpenSSL "
            << OpenSSL_version(OPENSSL_VERSION_STRING) << ")\n";
  return 0;
}

int run_server(const Arguments& arguments) {
  server::RunOptions options;
  options.config_path = config_file(arguments);
  options.keep_root = arguments.keep_root;
  return server::run(options);
}

int quick(const Arguments& arguments) {
  server::RunOptions options;
  options.builtin = [arguments] {
    const std::string listen = arguments.listen.empty() ? ":8080" : arguments.listen;
    const std::string admin = arguments.builtin_admin.empty() ? "127.0.0.1:9900" : arguments.builtin_admin;
    return config::quick(listen, admin, arguments.primary, arguments.standby, server::system_context());
  };
  return server::run(options);
}

std::string schema_text(const Arguments& arguments) {
  if (arguments.of_scenarios)
    return arguments.reference ? config::scenario_reference_page() : config::scenario_schema();
  return arguments.reference ? config::reference_page() : config::json_schema();
}

int demo(const Arguments& arguments) {
  demo::DemoOptions options;
  if (!arguments.listen.empty()) options.listen = arguments.listen;
  if (!arguments.builtin_admin.empty()) options.admin = arguments.builtin_admin;
  options.once = arguments.once;
  return demo::run(options);
}

}  // namespace

int run_local_verb(const Arguments& arguments) {
  switch (arguments.verb) {
    case Verb::run: return run_server(arguments);
    case Verb::check: return check(arguments);
    case Verb::config_show: return config_show(arguments);
    case Verb::init: return init(arguments);
    case Verb::schema: print_text(schema_text(arguments)); return 0;
    case Verb::quick: return quick(arguments);
    case Verb::demo: return demo(arguments);
    case Verb::drill:
      return run_drills(arguments, server::system_context(), ::isatty(STDOUT_FILENO) == 1, std::cout, std::cerr);
    case Verb::rehearse: return run_rehearsal(arguments, server::system_context(), std::cout, std::cerr);
    case Verb::version: return version(arguments);
    default: return 2;
  }
}

}  // namespace understudy::cli
