// Synthetic requests as the prober takes them: what a health check's GET has not.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/model.hpp"

namespace understudy::probe {

// A check whose request is written out, and a value of whose answer is read. The value goes to ProbeResult::value; an answer
// without it has failed.
struct Synthetic {
  std::string method = "GET";
  std::vector<config::NameValue> headers;
  std::string body;
  config::CompareConfig compare;
  std::string raw = {};  // the whole request as it is to be sent, instead of all of that

  bool is_head() const { return method == "HEAD"; }
};

// A configured request, as a check and what goes beyond it. Made once per (re)load.
struct SyntheticRequest {
  std::shared_ptr<const config::CheckConfig> check;
  std::shared_ptr<const Synthetic> more;
  explicit SyntheticRequest(const config::FitnessConfig& written);
};

// What a JSON pointer (RFC 6901) finds in a text: a string as it is, a number or another scalar as JSON. Nothing, and `why`,
// when the text is no JSON, is nested too deep, or there is no scalar at that place.
std::optional<std::string> json_value(std::string_view text, std::string_view pointer, std::string& why);

// The fields of a request's head besides Host and Connection, each with its line end.
std::string request_fields(const Synthetic& synthetic);

}  // namespace understudy::probe
