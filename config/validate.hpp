// Rules between keys: names resolve, nothing contradicts, nothing is written that does nothing. No I/O but
// the context's.
#pragma once

#include "config/keys.hpp"
#include "config/reader.hpp"

namespace understudy::config {

// Fills what depends on other keys (names of routes, the admin address, the catch-all route, checks' bounded
// defaults). Comes before validation; needs no valid configuration.
void complete(Root& root, Reader& reader);

// Reports what is wrong or doubtful to the reader.
void validate(const Config& config, Reader& reader);

// The parts of validate(), one file each.
void validate_listeners(const Config& config, Reader& reader);
void validate_pools(const Config& config, Reader& reader);
void validate_check(const CheckConfig& check, const std::string& path, const std::string& where, Reader& reader);
// [check] itself: a key in it is useless when no pool has a use for it.
void validate_check_defaults(const CheckConfig& check, const Config& config, Reader& reader);
void validate_alerts(const Config& config, Reader& reader);
void validate_drills(const Config& config, Reader& reader);
void validate_routes(const Config& config, Reader& reader);
// Says so when a file that is named under `path` can't be read, or when others may read a private key.
void validate_file(const std::string& file, const std::string& path, bool is_private, Reader& reader);

}  // namespace understudy::config
