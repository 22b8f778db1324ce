#include "proxy/http/authority.hpp"
#include "proxy/http/chars.hpp"
#include "proxy/http/pen.hpp"

namespace understudy::http {

namespace {

constexpr KnownSet kUntouchable = {Known::content_length,
                                   Known::transfer_encoding,
                                   Known::connection,
                                   Known::keep_alive,
                                   Known::proxy_connection,
                                   Known::te,
                                   Known::trailer,
                                   Known::upgrade,
                                   Known::http2_settings,
                                   Known::expect,
                                   Known::sec_websocket_key,
                                   Known::sec_websocket_version,
                                   Known::sec_websocket_accept,
                                   Known::sec_websocket_extensions};

}  // namespace

bool valid_authority(std::string_view text) {
  Authority ignored;
  return parse_authority(text, ignored);
}

bool Rules::permitted(const config::HeaderRule& rule) {
  if (rule.name.empty() || !chars::all(rule.name, chars::token)) return false;
  const Known id = known_id(rule.name);
  if (kUntouchable.has(id)) return false;
  // Exactly one valid Host must remain.
  if (id == Known::host && (rule.op != config::HeaderOp::set || !valid_authority(rule.value))) return false;
  return rule.op == config::HeaderOp::remove || chars::clean_value(rule.value);
}

bool Rules::replaces(std::string_view name) const {
  for (const auto& rule : rules_) {
    if (rule.op != config::HeaderOp::add && chars::iequal(rule.name, name) && permitted(rule)) return true;
  }
  return false;
}

std::string_view Rules::set_value(std::string_view name) const {
  std::string_view value;
  for (const auto& rule : rules_) {
    if (rule.op == config::HeaderOp::set && chars::iequal(rule.name, name) && permitted(rule)) value = rule.value;
  }
  return value;
}

void Rules::write(Pen& pen, Known skip) const {
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const auto& rule = rules_[i];
    if (rule.op == config::HeaderOp::remove || !permitted(rule)) continue;
    if (skip != Known::none && known_id(rule.name) == skip) continue;
    if (Rules(rules_.subspan(i + 1)).replaces(rule.name)) continue;
    pen << rule.name << ": " << chars::trim(rule.value) << "\r\n";
  }
}

}  // namespace understudy::http
