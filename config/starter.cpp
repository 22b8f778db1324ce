// Configurations that nobody wrote: the file of `understudy init`, and that of `understudy quick`.
#include <algorithm>

#include "config/load.hpp"
#include "config/text.hpp"

namespace understudy::config {
namespace {

std::string list(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const std::string& item : items) out += (out.size() > 1 ? ", " : "") + toml_string(item);
  return out + "]";
}

}  // namespace

std::string starter_file() {
  return R"(# Understudy configuration. `understudy check` says what is wrong with it, `understudy config show --defaults` what it means.
# Every key is described in the reference page.

[listen.web]
address = ":8080"

# Primary endpoints serve; when none of them can, the standby does, until the primary has been good again for a while.
[pool.app]
primary = ["127.0.0.1:3001", "127.0.0.1:3002"]
standby = ["127.0.0.1:3003"]

# How endpoints are probed. Without a path it is enough that a connection opens.
[check]
# path = "/healthz"
interval = "2s"
timeout = "1s"

# [pool.app.failover]
# failback = "after 1m"        # or "auto", "manual"

# TLS, with a redirect from clear text:
# [listen.secure]
# address = ":8443"
# tls = [{ certificate = "site.pem", key = "site.key" }]

# Without a route everything goes to the only pool. With several pools, the first route that matches applies:
# [[route]]
# match = { host = "example.org", path = "/devices/*" }
# pool = "devices"

# The API, a status page and the metrics. Without this table they are on a Unix socket.
# [admin]
# listen = "127.0.0.1:9900"
)";
}

LoadResult quick(const std::string& listen, const std::string& admin, const std::vector<std::string>& primary,
                 const std::vector<std::string>& standby, const LoadContext& context) {
  std::string text = "[server]\nstate_dir = \"none\"\n[admin]\nlisten = " + toml_string(admin) + "\n";
  text += "[listen.web]\naddress = " + toml_string(listen) + "\n[pool.app]\nprimary = " + list(primary) + "\n";
  if (!standby.empty()) text += "standby = " + list(standby) + "\n";
  LoadResult result = load(text, "command line", context);
  // There is no file to point into.
  for (Diagnostic& diagnostic : result.diagnostics) {
    diagnostic.line = 0;
    diagnostic.column = 0;
    if (diagnostic.hint.substr(0, 10) == "first at l") diagnostic.hint.clear();
  }
  for (auto& [path, origin] : result.origins) {
    if (origin.substr(0, 13) == "command line:") origin = "command line";
  }
  return result;
}

}  // namespace understudy::config
