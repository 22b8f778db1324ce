// The TLS files that a configuration names, as findings of `check`.
#pragma once

#include <vector>

#include "config/load.hpp"

namespace understudy::cli {

// An error for every listener and pool whose certificate, key or CA can't be used, at the place of its `tls`
// key. REQUIRES loaded.config.
std::vector<config::Diagnostic> check_tls_of(const config::LoadResult& loaded, const std::string& file);

}  // namespace understudy::cli
