// A blocking client of the admin API for the command line: one connection a request, short timeouts.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "config/address.hpp"

namespace understudy::admin {

struct ClientOptions {
  config::Address address;                           // unix:PATH, IP:port or name:port
  std::string token;                                 // "" sends none
  std::chrono::milliseconds connect_timeout{2'000};  // each address tried, and sending the request
  std::chrono::milliseconds answer_timeout{10'000};  // from the request sent to the answer's last byte
};

struct Answer {
  unsigned status = 0;
  std::string content_type;
  std::string body;
};
// No daemon there, or it went away in the middle: exit code 3.
struct NotReachable {
  std::string why;
};

class Client {
public:
  explicit Client(ClientOptions options) : options_(std::move(options)) {}
  // `path` with its query, already percent-encoded. A POST sends `json` ({} when empty) and the marks of a
  // change.
  std::variant<Answer, NotReachable> request(std::string_view method, std::string_view path,
                                             const std::string& json = {});

private:
  ClientOptions options_;
};

}  // namespace understudy::admin
