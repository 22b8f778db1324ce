// How the probes of one pool speak TLS: an OpenSSL context prepared once per pool and (re)load, shared
// read-only. Apart from net::TlsClient because a probe buffers in memory and needs no pooled blocks; the
// rules are the same: TLS 1.2 or newer, certificate and name verified unless the operator wrote `insecure`.
#pragma once

#include <memory>
#include <string>

#include "config/model.hpp"

struct ssl_ctx_st;

namespace understudy::probe {

class TlsSettings {
public:
  // Reads CA, certificate and key. Throws std::runtime_error naming the file and the remedy.
  explicit TlsSettings(const config::UpstreamTls& settings);
  ~TlsSettings();
  TlsSettings(const TlsSettings&) = delete;
  TlsSettings& operator=(const TlsSettings&) = delete;

  ssl_ctx_st* context() const { return context_; }
  bool insecure() const { return insecure_; }
  // The name the certificate must be for: the configured one, else the endpoint's host as written.
  const std::string& name_for(const std::string& endpoint_host) const {
    return server_name_.empty() ? endpoint_host : server_name_;
  }

private:
  ssl_ctx_st* context_ = nullptr;
  std::string server_name_;
  bool insecure_ = false;
};

}  // namespace understudy::probe
