#include "proxy/observe/access_record.hpp"

namespace understudy::observe {

std::string_view name_of(Term term) {
  switch (term) {
    case Term::ok: return "ok";
    case Term::client_abort: return "client_abort";
    case Term::client_timeout: return "client_timeout";
    case Term::client_error: return "client_error";
    case Term::upstream_refused: return "upstream_refused";
    case Term::upstream_timeout_connect: return "upstream_timeout_connect";
    case Term::upstream_timeout_header: return "upstream_timeout_header";
    case Term::upstream_timeout_body: return "upstream_timeout_body";
    case Term::upstream_reset: return "upstream_reset";
    case Term::upstream_bad_response: return "upstream_bad_response";
    case Term::upstream_cut: return "upstream_cut";
    case Term::request_timeout: return "request_timeout";
    case Term::limit_rate: return "limit_rate";
    case Term::limit_body: return "limit_body";
    case Term::limit_connections: return "limit_connections";
    case Term::limit_memory: return "limit_memory";
    case Term::no_available_endpoint: return "no_available_endpoint";
    case Term::maintenance: return "maintenance";
    case Term::shed: return "shed";
    case Term::openings: return "openings";
    case Term::local_answer: return "local_answer";
    case Term::tunnel_idle: return "tunnel_idle";
    case Term::tunnel_closed: return "tunnel_closed";
    case Term::drained: return "drained";
    case Term::shutdown: return "shutdown";
    case Term::own_error: return "own_error";
    case Term::count: break;
  }
  return "unknown";
}

}  // namespace understudy::observe
