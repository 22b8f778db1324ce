// The JSON object that a command takes: one level of text, numbers and booleans, nothing twice, nothing unknown. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "proxy/admin/control_plane.hpp"

namespace understudy::admin {

struct BodyKey {
  enum class Type : std::uint8_t {
    text,
    boolean,
    number,
    document
  };  // number: whole, from 0; document: text of many lines
  std::string_view name;
  Type type = Type::text;
  bool required = false;
};

class CommandBody {
public:
  // An empty body counts as {}. Refuses with 400 (no JSON, a key twice, too deep) or 422 (unknown, missing or
  // wrong key).
  static std::variant<CommandBody, Problem> read(std::string_view json, std::span<const BodyKey> keys);
  // "", false and nothing when absent.
  std::string text(std::string_view key) const;
  bool flag(std::string_view key) const;
  std::optional<std::uint64_t> number(std::string_view key) const;
  bool has(std::string_view key) const { return values_.find(key) != values_.end(); }

private:
  using Value = std::variant<std::string, bool, std::uint64_t>;
  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace understudy::admin
