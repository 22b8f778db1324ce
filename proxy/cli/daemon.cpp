#include "proxy/cli/daemon.hpp"

namespace understudy::cli {
namespace {

// The file's admin section. Keys and certificates that this user may not read are no reason to fail.
std::optional<config::AdminConfig> admin_of(const std::string& text, const std::string& file,
                                            const config::LoadContext& context) {
  config::LoadResult result = config::load(text, file, context);
  if (result.config) return result.config->admin;
  config::LoadContext without_files = context;
  without_files.read_file = nullptr;
  result = config::load(text, file, without_files);
  if (!result.config) return std::nullopt;
  result.config->admin.token.reset();  // not expanded without files
  return result.config->admin;
}

std::optional<config::AdminConfig> admin_of_file(const std::string& file, const config::LoadContext& context) {
  const auto text = context.read_file ? context.read_file(file) : std::nullopt;
  return text ? admin_of(*text, file, context) : std::nullopt;
}

}  // namespace

std::variant<Daemon, NoDaemon> find_daemon(const Arguments& arguments, const config::LoadContext& context) {
  std::string error;
  if (!arguments.admin.empty()) {
    const auto address = config::parse_address(arguments.admin, 0, &error);
    if (!address) return NoDaemon{2, std::string("--admin '").append(arguments.admin).append("': ").append(error)};
    return Daemon{*address, arguments.token};
  }
  const bool named = !arguments.config.empty();
  const std::string file = named ? arguments.config : kDefaultConfig;
  const auto admin = admin_of_file(file, context);
  if (!admin && named) {
    return NoDaemon{1, std::string("cannot take the admin address from ")
                           .append(file)
                           .append("; see 'understudy check', or give --admin")};
  }
  if (!admin)
    return Daemon{*config::parse_address("unix:" + context.runtime_dir + "/admin.sock", 0, &error), arguments.token};
  const std::string token = arguments.token.empty() && admin->token ? admin->token->value : arguments.token;
  return Daemon{admin->listen, token};
}

}  // namespace understudy::cli
