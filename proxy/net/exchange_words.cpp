#include "proxy/net/exchange_words.hpp"

namespace understudy::net {

using exchange::End;
using observe::Term;

Term term_of(End end) {
  switch (end) {
    case End::none:
    case End::ok: return Term::ok;
    case End::client_gone: return Term::client_abort;
    case End::client_timeout: return Term::client_timeout;
    case End::client_error: return Term::client_error;
    case End::limit_body: return Term::limit_body;
    case End::upstream_refused: return Term::upstream_refused;
    case End::upstream_connect_timeout: return Term::upstream_timeout_connect;
    case End::upstream_header_timeout: return Term::upstream_timeout_header;
    case End::upstream_body_timeout: return Term::upstream_timeout_body;
    case End::upstream_reset: return Term::upstream_reset;
    case End::upstream_bad_response: return Term::upstream_bad_response;
    case End::upstream_cut: return Term::upstream_cut;
    case End::upstream_own_error: return Term::own_error;
    case End::request_timeout: return Term::request_timeout;
    case End::no_endpoint: return Term::no_available_endpoint;
    case End::maintenance: return Term::maintenance;
    case End::shed: return Term::shed;
    case End::openings: return Term::openings;
  }
  return Term::own_error;
}

std::string_view reason_of(End end) { return observe::name_of(term_of(end)); }

std::string_view sentence_of(End end) {
  switch (end) {
    case End::none:
    case End::ok: return "Done.";
    case End::client_gone: return "The client left.";
    case End::client_timeout: return "The request did not arrive in time.";
    case End::client_error: return "The request could not be understood.";
    case End::limit_body: return "The request body is larger than is accepted here.";
    case End::upstream_refused: return "The server behind this address refused the connection.";
    case End::upstream_connect_timeout: return "The server behind this address could not be reached in time.";
    case End::upstream_header_timeout: return "The server behind this address did not answer in time.";
    case End::upstream_body_timeout:
    case End::upstream_cut: return "The server behind this address stopped in the middle of its answer.";
    case End::upstream_reset: return "The server behind this address closed the connection without an answer.";
    case End::upstream_bad_response: return "The server behind this address gave an answer that is not valid.";
    case End::upstream_own_error: return "This proxy is short of resources. Please try again.";
    case End::request_timeout: return "The request took longer than is allowed here.";
    case End::no_endpoint: return "No server is available to answer this request. Please try again shortly.";
    case End::maintenance: return "This site is under maintenance. Please come back shortly.";
    case End::openings: return "Too many WebSockets are being opened here. Please try again shortly.";
    case End::shed: return "More is asked here than can be answered now. Please try again shortly.";
  }
  return "";
}

std::string expand_redirect(std::string_view to, std::string_view host, std::string_view path, std::string_view query) {
  std::string out;
  while (!to.empty()) {
    if (to.starts_with("{host}")) {
      out += host;
      to.remove_prefix(6);
    } else if (to.starts_with("{path}")) {
      out += path;
      to.remove_prefix(6);
    } else if (to.starts_with("{query}")) {
      out += query;
      to.remove_prefix(7);
    } else {
      out += to.front();
      to.remove_prefix(1);
    }
  }
  return out;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  for (std::size_t i = 0; i < a.size(); ++i)
    if (lower(a[i]) != lower(b[i])) return false;
  return true;
}

}  // namespace understudy::net
