// One POST to somebody else's server, over HTTP/1.1 in clear text or TLS with verification. On the control thread; waits by
// readiness, holds nobody. Follows no redirect, reads the answer's status only.
//
//   start ─► name resolved ─► connect ─► TLS ─► send ─► status line ─► done("" or why not)
//              (next address where nobody listens)       deadline: done("… in time")
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/address.hpp"
#include "proxy/probe/resolver.hpp"
#include "proxy/probe/tls_settings.hpp"

namespace understudy::server {

struct WebRequest {
  config::WebUrl url;
  std::shared_ptr<const probe::TlsSettings> tls;  // for an https URL
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  std::chrono::milliseconds timeout{5'000};
};

class WebPost {
public:
  // "": answered with 2xx.
  using Done = std::function<void(std::string why)>;

  // Both must outlive this object; handlers that are left in `io` do not need it.
  WebPost(boost::asio::io_context& io, probe::Resolver& resolver);
  ~WebPost();  // as cancel()
  WebPost(const WebPost&) = delete;
  WebPost& operator=(const WebPost&) = delete;

  // One at a time: an older one is cancelled. `done` is called once from the io_context, never from inside start().
  void start(WebRequest request, Done done);
  void cancel();  // no `done` is called any more

private:
  struct Run;
  boost::asio::io_context& io_;
  probe::Resolver& resolver_;
  std::shared_ptr<Run> run_;
};

}  // namespace understudy::server
