#include "proxy/net/tls_names.hpp"

#include <arpa/inet.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

namespace understudy::net {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool is_host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == ':';
}

bool contains(const std::vector<std::string>& sorted, std::string_view value) {
  const auto at = std::lower_bound(sorted.begin(), sorted.end(), value);
  return at != sorted.end() && *at == value;
}

void sort_unique(std::vector<std::string>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

// A DNS name from a certificate into the right list; anything that is no host name is left out.
void add_name(CertificateNames& names, std::string_view name) {
  if (name.starts_with("*.")) {
    const HostText rest(name.substr(1));  // ".example.org"; clients accept no wildcard over a top-level domain
    if (rest.view().find('.', 1) != std::string_view::npos) names.suffixes.emplace_back(rest.view());
    return;
  }
  const HostText host(name);
  if (!host.view().empty()) names.exact.emplace_back(host.view());
}

std::string_view text_of(const ASN1_STRING* s) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)), static_cast<std::size_t>(ASN1_STRING_length(s))};
}

std::string common_name(X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return {};
  std::string result(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return result;
}

// Bytes of an address literal, 4 or 16; 0 for a name.
std::size_t parse_address(const HostText& text, std::array<char, 16>& bytes) {
  const std::string_view view = text.view();
  const bool digit_last = view.back() >= '0' && view.back() <= '9';
  if (!digit_last && view.find(':') == std::string_view::npos) return 0;
  std::array<char, 257> literal;
  *std::copy(view.begin(), view.end(), literal.begin()) = '\0';
  if (::inet_pton(AF_INET, literal.data(), bytes.data()) == 1) return 4;
  if (::inet_pton(AF_INET6, literal.data(), bytes.data()) == 1) return 16;
  return 0;
}

// Calls `dns` and `address` for every subject alternative name of these kinds.
template <class Dns, class Ip>
void for_each_name(X509* certificate, Dns dns, Ip address) {
  std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> list(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      GENERAL_NAMES_free);
  for (int i = 0; list && i < sk_GENERAL_NAME_num(list.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list.get(), i);
    if (name->type == GEN_DNS) dns(text_of(name->d.dNSName));
    if (name->type == GEN_IPADD) address(text_of(name->d.iPAddress));
  }
}

}  // namespace

HostText::HostText(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() > text_.size()) return;
  std::transform(host.begin(), host.end(), text_.begin(), lower);
  if (std::all_of(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(host.size()), is_host_char))
    size_ = host.size();
}

std::string_view HostText::suffix() const {
  const std::size_t dot = view().find('.');
  return dot == std::string_view::npos || dot == 0 ? std::string_view{} : view().substr(dot);
}

bool CertificateNames::covers(std::string_view host) const {
  const HostText text(host);
  if (text.view().empty()) return false;
  std::array<char, 16> bytes;
  if (const std::size_t size = parse_address(text, bytes); size > 0) return contains(addresses, {bytes.data(), size});
  if (contains(exact, text.view())) return true;
  const std::string_view suffix = text.suffix();
  return !suffix.empty() && contains(suffixes, suffix);
}

CertificateNames certificate_names(X509* certificate) {
  CertificateNames names;
  bool any = false;
  for_each_name(
      certificate,
      [&](std::string_view dns) {
        any = true;
        add_name(names, dns);
      },
      [&](std::string_view address) {
        if (address.size() == 4 || address.size() == 16) names.addresses.emplace_back(address);
      });
  if (!any) add_name(names, common_name(certificate));
  sort_unique(names.exact);
  sort_unique(names.suffixes);
  sort_unique(names.addresses);
  return names;
}

std::chrono::system_clock::time_point to_time(const ASN1_TIME* time) {
  std::tm fields{};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&fields));
}

CertificateInfo certificate_info(X509* certificate) {
  CertificateInfo info;
  info.common_name = common_name(certificate);
  for_each_name(
      certificate, [&](std::string_view dns) { info.names.emplace_back(dns); }, [](std::string_view) {});
  info.not_after = to_time(X509_get0_notAfter(certificate));
  return info;
}

void NameIndex::add(const CertificateNames& names, std::size_t which) {
  for (const std::string& name : names.exact) exact_.emplace_back(name, which);
  for (const std::string& suffix : names.suffixes) suffixes_.emplace_back(suffix, which);
}

void NameIndex::finish() {
  for (Entries* entries : {&exact_, &suffixes_}) {
    std::sort(entries->begin(), entries->end());  // of equal names the earlier certificate comes first
  }
}

std::size_t NameIndex::find(std::string_view server_name) const {
  const auto look = [](const Entries& entries, std::string_view name) {
    const auto at = std::lower_bound(entries.begin(), entries.end(), name,
                                     [](const auto& entry, std::string_view wanted) { return entry.first < wanted; });
    return at != entries.end() && at->first == name ? at->second : kNone;
  };
  const HostText text(server_name);
  if (text.view().empty()) return kNone;
  const std::size_t exact = look(exact_, text.view());
  if (exact != kNone) return exact;
  const std::string_view suffix = text.suffix();
  return suffix.empty() ? kNone : look(suffixes_, suffix);
}

}  // namespace understudy::net
