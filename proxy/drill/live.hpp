// A live drill as its command sees it: begun in the running proxy, held by a lease while it lasts, and judged by what that tells.
#pragma once

#include <string>
#include <variant>

#include "proxy/admin/client.hpp"
#include "proxy/drill/run.hpp"

namespace understudy::drill {

// Why the proxy refused to begin it; nothing was done.
struct Refused {
  unsigned status = 0;  // 422: the scenario is wrong or does not fit; 409: a guard or another drill is in the way
  std::string title, detail;
};

// `text` is the scenario's own, `file` its name. Throws std::runtime_error when the proxy cannot be reached. However this process
// ends: the proxy takes everything back when it has not heard of it for the lease.
std::variant<Result, Refused> run_live(const config::Scenario& scenario, const std::string& text,
                                       const std::string& file, const admin::ClientOptions& proxy,
                                       const Options& options);

}  // namespace understudy::drill
