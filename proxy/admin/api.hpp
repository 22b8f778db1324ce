// The admin API's paths: which exist, what each asks of the control plane, and how the answer looks. No
// socket.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/admin/control_plane.hpp"
#include "proxy/admin/message.hpp"

namespace understudy::admin {

// "30m" of a command's `for`: more than nothing, at most 365 days. On failure `error` says what would be
// right.
std::optional<std::chrono::milliseconds> parse_for(std::string_view text, std::string* error);

class Api {
public:
  explicit Api(ControlPlane& control) : control_(control) {}

  // What can be refused before a body is read: no such path (404), wrong method (405 with Allow), a body on a
  // read (400), a change without its marks (403, 415).
  std::optional<Response> refuse(const Request& request) const;

  // Answers through `done`: at once, except a reload, which may take a while. REQUIRES that refuse() found
  // nothing. `who` is named in the audit event. Exceptions of the control plane become a 500.
  void handle(const Request& request, std::string_view body, const std::string& who,
              const std::function<void(Response)>& done);

private:
  ControlPlane& control_;
};

}  // namespace understudy::admin
