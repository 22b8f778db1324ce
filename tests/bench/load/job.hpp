// What one run asks of the client, and what came out of it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bench {

struct Job {
  std::string kind = "http";  // http, ws
  std::uint16_t port = 0;
  std::string path = "/b/128";
  std::size_t post = 0;      // body bytes of a POST; 0 is a GET
  std::size_t expect = 128;  // bytes of the answer's body, or of a WebSocket message
  std::size_t connections = 64;
  std::size_t count = 0;  // end after so many requests; 0: by time
  double warm = 0.2, seconds = 1;
  double rate = 0;  // requests per second, open loop; 0: closed loop
  bool tls = false, resume = false, close = false, verify = false;
  std::vector<int> watch;  // processes whose CPU time counts

  // From "key=value" words; throws std::invalid_argument with the word that is wrong.
  static Job parse(const std::vector<std::string>& words);
};

struct Tally {
  std::uint64_t requests = 0, bytes = 0, errors = 0, handshakes = 0, resumed = 0;
  std::string first_error;
  std::vector<std::uint32_t> latencies_ns;  // open loop only
  void fail(const std::string& what) {
    if (errors++ == 0) first_error = what;
  }
};

}  // namespace bench
