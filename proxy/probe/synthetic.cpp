#include "proxy/probe/synthetic.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace understudy::probe {
namespace {

namespace json = boost::json;
constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxValue = 200;  // bytes; a version is short

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return low(x) == low(y);
  });
}

bool has(const Synthetic& synthetic, std::string_view name) {
  return std::any_of(synthetic.headers.begin(), synthetic.headers.end(),
                     [name](const config::NameValue& field) { return same_name(field.first, name); });
}

std::string unescaped(std::string_view token) {
  std::string out;
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '~' && i + 1 < token.size()) {
      out += token[++i] == '1' ? '/' : '~';
    } else {
      out += token[i];
    }
  }
  return out;
}

const json::value* child(const json::value& of, const std::string& token) {
  if (const json::object* object = of.if_object()) return object->if_contains(token);
  const json::array* array = of.if_array();
  if (array == nullptr || token.empty() || token.size() > 9 || (token.size() > 1 && token[0] == '0')) return nullptr;
  std::size_t index = 0;
  for (const char c : token) {
    if (c < '0' || c > '9') return nullptr;
    index = index * 10 + static_cast<std::size_t>(c - '0');
  }
  return index < array->size() ? &(*array)[index] : nullptr;
}

}  // namespace

SyntheticRequest::SyntheticRequest(const config::FitnessConfig& written) {
  config::CheckConfig asked;
  asked.kind = written.websocket ? config::CheckKind::websocket : config::CheckKind::http;
  asked.path = written.path;
  asked.host = written.host;
  asked.body = written.expect_body;
  asked.expect = written.expect;
  asked.timeout = written.timeout;
  check = std::make_shared<const config::CheckConfig>(std::move(asked));
  more = std::make_shared<const Synthetic>(Synthetic{written.method, written.headers, written.body, written.compare});
}

std::optional<std::string> json_value(std::string_view text, std::string_view pointer, std::string& why) {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::error_code error;
  const json::value document = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error) {
    why = "is no JSON: " + error.message();
    return std::nullopt;
  }
  const json::value* at = &document;
  while (!pointer.empty() && at != nullptr) {
    pointer.remove_prefix(1);  // the '/'
    const std::size_t end = pointer.find('/');
    at = child(*at, unescaped(pointer.substr(0, end)));
    pointer = end == std::string_view::npos ? std::string_view{} : pointer.substr(end);
  }
  if (at == nullptr || at->is_null() || at->is_structured()) {
    why = at == nullptr ? "has no such value" : "has no text or number there";
    return std::nullopt;
  }
  std::string value =
      at->is_string() ? std::string(at->get_string().data(), at->get_string().size()) : json::serialize(*at);
  if (value.size() > kMaxValue) {
    why = "has a value of more than 200 bytes there";
    return std::nullopt;
  }
  return value;
}

std::string request_fields(const Synthetic& synthetic) {
  std::string out;
  if (!has(synthetic, "User-Agent")) out += "User-Agent: understudy-fitness\r\n";
  if (!has(synthetic, "Accept")) out += "Accept: */*\r\n";
  for (const auto& [name, value] : synthetic.headers) out.append(name).append(": ").append(value).append("\r\n");
  const bool framed =
      !synthetic.body.empty() || synthetic.method == "POST" || synthetic.method == "PUT" || synthetic.method == "PATCH";
  if (framed) out += "Content-Length: " + std::to_string(synthetic.body.size()) + "\r\n";
  return out;
}

}  // namespace understudy::probe
