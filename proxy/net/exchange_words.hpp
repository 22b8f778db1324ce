// Words for how exchanges end, and small text functions of the driver.
#pragma once

#include <string>
#include <string_view>

#include "proxy/exchange/state.hpp"
#include "proxy/observe/access_record.hpp"

namespace understudy::net {

observe::Term term_of(exchange::End end);
std::string_view reason_of(exchange::End end);    // machine word for JSON answers
std::string_view sentence_of(exchange::End end);  // for people

// Replaces {host}, {path} and {query}; the answer's writer encodes what may not stand in a Location.
std::string expand_redirect(std::string_view to, std::string_view host, std::string_view path, std::string_view query);
bool equals_ignoring_case(std::string_view a, std::string_view b);

}  // namespace understudy::net
