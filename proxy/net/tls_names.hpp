// Names that a certificate carries, and which certificate a server name selects. Internal to proxy/net/tls_*.
#pragma once

#include <openssl/x509.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/net/tls.hpp"

namespace understudy::net {

// A host as written by a client, in lower case without trailing dot or brackets; no allocation. Empty when it
// is no host name.
class HostText {
public:
  explicit HostText(std::string_view host);
  std::string_view view() const { return {text_.data(), size_}; }
  // From the first dot on, ".example.org" of "www.example.org"; empty when there is none or nothing stands
  // before it.
  std::string_view suffix() const;

private:
  std::array<char, 256> text_;
  std::size_t size_ = 0;
};

struct CertificateNames {
  std::vector<std::string> exact;      // lower case, sorted
  std::vector<std::string> suffixes;   // ".example.org" of "*.example.org", sorted
  std::vector<std::string> addresses;  // 4 or 16 bytes each, sorted
  // A wildcard stands for exactly one label (RFC 9525 §6.3). Host names of any case, and IP literals.
  bool covers(std::string_view host) const;
  bool operator==(const CertificateNames&) const = default;
};

// Subject alternative names; the common name counts only when there are none of DNS type.
CertificateNames certificate_names(X509* certificate);
CertificateInfo certificate_info(X509* certificate);
std::chrono::system_clock::time_point to_time(const ASN1_TIME* time);

// Which of several certificates a name selects: an exact name before a wildcard, the earlier certificate
// before the later.
class NameIndex {
public:
  void add(const CertificateNames& names, std::size_t which);  // then finish() once
  void finish();
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t find(std::string_view server_name) const;

private:
  using Entries = std::vector<std::pair<std::string, std::size_t>>;
  Entries exact_, suffixes_;
};

}  // namespace understudy::net
