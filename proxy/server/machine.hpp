// What the process asks of the machine it runs on: privileges, descriptors, memory.
#pragma once

#include <cstdint>
#include <string>

#include "config/model.hpp"

namespace understudy::server {

// Raises the soft descriptor limit to the hard one and returns it.
std::uint64_t raise_descriptor_limit();
// Connections that fit: each may need a descriptor on both sides, and `reserve` stays for checks, admin, logs and the like.
std::uint64_t connections_that_fit(std::uint64_t descriptors, std::uint64_t reserve, unsigned workers,
                                   std::uint64_t listeners);
// A quarter of the memory this process may use.
std::uint64_t default_buffer_memory();
unsigned usable_cores();

// First half of dropping root: bounding set, no new privileges, no core dumps. Before any thread is started.
void forbid_new_privileges();
// Who to become when started as root: the configured user, else "understudy" if it exists. Empty: stay (not root, or keep_root).
struct Identity {
  unsigned uid = 0, gid = 0;
  std::string name;
};
// `why` is set when it is root and there is nobody to become.
bool find_identity(const config::ServerConfig& config, bool keep_root, bool builtin, Identity& out, std::string& why);
// Becomes it, for all threads. Empty on success.
std::string become(const Identity& identity);

std::uint64_t monotonic_us();

}  // namespace understudy::server
