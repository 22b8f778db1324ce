#include "proxy/cli/cli.hpp"

#include <exception>
#include <iostream>

#include "proxy/cli/arguments.hpp"
#include "proxy/cli/client_verbs.hpp"
#include "proxy/cli/daemon.hpp"
#include "proxy/cli/local_verbs.hpp"
#include "proxy/server/run.hpp"

namespace understudy::cli {
namespace {

int run_parsed(const Arguments& arguments) {
  if (!asks_daemon(arguments.verb)) return run_local_verb(arguments);
  const auto found = find_daemon(arguments, server::client_context());
  if (const auto* none = std::get_if<NoDaemon>(&found)) {
    std::cerr << "understudy: " << none->why << "\n";
    return none->code;
  }
  return run_client_verb(arguments, std::get<Daemon>(found), std::chrono::system_clock::now(), std::cout, std::cerr);
}

}  // namespace

int run(int argc, char** argv) {
  try {
    const auto parsed = parse_arguments({argv + (argc > 0 ? 1 : 0), argv + argc});
    if (const auto* finished = std::get_if<Finished>(&parsed)) {
      std::cout << finished->out;
      std::cerr << finished->err;
      return finished->code;
    }
    const int code = run_parsed(std::get<Arguments>(parsed));
    // A full disk or a closed pipe behind `config show > file` is a failure, not a success.
    return std::cout.flush() ? code : (code == 0 ? 1 : code);
  } catch (const std::exception& error) {
    std::cerr << "understudy: " << error.what() << "\n";
    return 1;
  }
}

}  // namespace understudy::cli
