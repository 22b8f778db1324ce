// Where the running process is to be found: --admin, else the configuration file's admin address, else the
// default socket.
#pragma once

#include <string>
#include <variant>

#include "config/address.hpp"
#include "config/load.hpp"
#include "proxy/cli/arguments.hpp"

namespace understudy::cli {

struct Daemon {
  config::Address address;
  std::string token;
};
struct NoDaemon {
  int code = 2;  // 2: --admin is no address; 1: the file that was named can't be used
  std::string why;
};
// Reads the file through the context only. A default file that can't be read or has errors is passed over.
std::variant<Daemon, NoDaemon> find_daemon(const Arguments& arguments, const config::LoadContext& context);

}  // namespace understudy::cli
