// What a reload cannot change.
#include "config/keys.hpp"
#include "config/load.hpp"

namespace understudy::config {
namespace {

void compare(const Section& section, const void* before, const void* after, const std::string& path,
             std::vector<std::string>& changed) {
  for (const Key& key : section.keys) {
    if (key.spec.restart && key.write(before) != key.write(after)) changed.push_back(path + "." + key.name);
  }
}

}  // namespace

std::vector<std::string> restart_only_changes(const Config& before, const Config& after) {
  std::vector<std::string> changed;
  compare(server_section(), &before.server, &after.server, "server", changed);
  compare(admin_section(), &before.admin, &after.admin, "admin", changed);
  compare(log_section(), &before.log, &after.log, "log", changed);
  compare(dns_section(), &before.dns, &after.dns, "dns", changed);
  return changed;
}

}  // namespace understudy::config
