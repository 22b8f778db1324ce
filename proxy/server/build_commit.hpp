// Which commit this binary was built from: deploy/cmake/commit.cmake writes the answer at build time.
#pragma once

namespace understudy::server {

// Twelve hexadecimal digits, with "-dirty" behind them where sources had changed since; "unknown" without a repository.
const char* build_commit();

}  // namespace understudy::server
