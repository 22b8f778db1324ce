// Just enough JSON and JSON Schema (draft-04) to hold our schema against documents.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <regex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "config/document.hpp"

namespace understudy::config {

struct JsonValue {
  enum class Kind : std::uint8_t { nothing, boolean, number, text, array, object };
  Kind kind = Kind::nothing;
  bool boolean = false;
  double number = 0;
  std::string text;
  std::vector<JsonValue> items;
  std::vector<std::pair<std::string, JsonValue>> members;

  const JsonValue* at(std::initializer_list<std::string> path) const {
    const JsonValue* here = this;
    for (const std::string& name : path) {
      const JsonValue* next = nullptr;
      for (const auto& [key, value] : here->members) {
        if (key == name) next = &value;
      }
      if (next == nullptr) return nullptr;
      here = next;
    }
    return here;
  }
};

class JsonParser {
public:
  explicit JsonParser(const std::string& text) : text_(text) {}
  JsonValue document() {
    JsonValue made = value();
    space();
    if (at_ != text_.size()) fail("text after the end");
    return made;
  }

private:
  [[noreturn]] void fail(const std::string& why) const {
    throw std::runtime_error("JSON at " + std::to_string(at_) + ": " + why);
  }
  void space() {
    while (at_ < text_.size() && std::string(" \n\r\t").find(text_[at_]) != std::string::npos) ++at_;
  }
  char peek() {
    space();
    if (at_ >= text_.size()) fail("end");
    return text_[at_];
  }
  void take(char c) {
    if (peek() != c) fail(std::string("expected ") + c);
    ++at_;
  }
  bool word(const std::string& wanted) {
    if (text_.compare(at_, wanted.size(), wanted) != 0) return false;
    at_ += wanted.size();
    return true;
  }
  std::string string() {
    take('"');
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) fail("control character");
      if (text_[at_] == '\\') {
        ++at_;
        const char c = text_.at(at_);
        if (c == 'n') {
          out += '\n';
        } else if (c == 't') {
          out += '\t';
        } else if (c == '"' || c == '\\' || c == '/') {
          out += c;
        } else {
          fail("escape");
        }
        ++at_;
      } else {
        out += text_[at_++];
      }
    }
    take('"');
    return out;
  }
  JsonValue value() {
    JsonValue made;
    const char c = peek();
    if (c == '{') {
      made.kind = JsonValue::Kind::object;
      take('{');
      while (peek() != '}') {
        if (!made.members.empty()) take(',');
        space();
        std::string name = string();
        take(':');
        made.members.emplace_back(std::move(name), value());
      }
      take('}');
    } else if (c == '[') {
      made.kind = JsonValue::Kind::array;
      take('[');
      while (peek() != ']') {
        if (!made.items.empty()) take(',');
        made.items.push_back(value());
      }
      take(']');
    } else if (c == '"') {
      made.kind = JsonValue::Kind::text;
      made.text = string();
    } else if (word("true")) {
      made.kind = JsonValue::Kind::boolean;
      made.boolean = true;
    } else if (word("false")) {
      made.kind = JsonValue::Kind::boolean;
    } else {
      made.kind = JsonValue::Kind::number;
      char* end = nullptr;
      made.number = std::strtod(text_.c_str() + at_, &end);
      if (end == text_.c_str() + at_) fail("value");
      at_ = static_cast<std::size_t>(end - text_.c_str());
    }
    return made;
  }

  std::string text_;
  std::size_t at_ = 0;
};

inline JsonValue parse_json(const std::string& text) { return JsonParser(text).document(); }

class JsonSchema {
public:
  explicit JsonSchema(const std::string& text) : root_(parse_json(text)) {}
  // The first complaint, or "".
  std::string complain(const Node& node) const { return check(root_, node, ""); }

private:
  using Kind = Node::Kind;

  std::string check(const JsonValue& schema, const Node& node, const std::string& path) const {
    for (const auto& [word, value] : schema.members) {
      const std::string complaint = one(schema, word, value, node, path);
      if (!complaint.empty()) return complaint;
    }
    return "";
  }

  static bool has_type(const std::string& type, const Node& node) {
    if (type == "object") return node.is(Kind::table);
    if (type == "array") return node.is(Kind::array);
    if (type == "string") return node.is(Kind::text);
    if (type == "boolean") return node.is(Kind::boolean);
    if (type == "integer") return node.is(Kind::integer);
    throw std::runtime_error("type " + type);
  }

  static bool equals(const JsonValue& value, const Node& node) {
    if (value.kind == JsonValue::Kind::text) return node.is(Kind::text) && node.text == value.text;
    if (value.kind == JsonValue::Kind::boolean) return node.is(Kind::boolean) && node.boolean == value.boolean;
    throw std::runtime_error("enum");
  }

  std::string one(const JsonValue& schema, const std::string& word, const JsonValue& value, const Node& node,
                  const std::string& path) const {
    if (word == "type") return has_type(value.text, node) ? "" : path + " is not of type " + value.text;
    if (word == "$ref") {
      const JsonValue* target = root_.at({"definitions", value.text.substr(std::string("#/definitions/").size())});
      if (target == nullptr) throw std::runtime_error("dangling " + value.text);
      return check(*target, node, path);
    }
    if (word == "allOf" || word == "anyOf") {
      std::string complaint;
      for (const JsonValue& part : value.items) {
        complaint = check(part, node, path);
        if (complaint.empty() == (word == "anyOf")) return complaint;
      }
      return complaint;
    }
    if (word == "oneOf") {
      const auto passed = std::count_if(value.items.begin(), value.items.end(),
                                        [&](const JsonValue& part) { return check(part, node, path).empty(); });
      return passed == 1 ? "" : path + " is not exactly one of several";
    }
    if (word == "enum") {
      for (const JsonValue& item : value.items) {
        if (equals(item, node)) return "";
      }
      return path + " is none of the values";
    }
    if (word == "pattern")
      return !node.is(Kind::text) || std::regex_search(node.text, std::regex(value.text))
                 ? ""
                 : path + " does not match " + value.text;
    if (word == "minLength")
      return !node.is(Kind::text) || node.text.size() >= static_cast<std::size_t>(value.number)
                 ? ""
                 : path + " is too short";
    if (word == "minItems")
      return !node.is(Kind::array) || node.items.size() >= static_cast<std::size_t>(value.number)
                 ? ""
                 : path + " has too few items";
    if (word == "minimum")
      return !node.is(Kind::integer) || static_cast<double>(node.integer) >= value.number ? "" : path + " is too small";
    if (word == "maximum")
      return !node.is(Kind::integer) || static_cast<double>(node.integer) <= value.number ? "" : path + " is too large";
    if (word == "items") {
      for (const Node& item : node.items) {
        const std::string complaint = check(value, item, path + "[]");
        if (!complaint.empty()) return complaint;
      }
      return "";
    }
    if (word == "required") {
      for (const JsonValue& name : value.items) {
        if (node.is(Kind::table) && node.find(name.text) == nullptr) return path + "." + name.text + " is missing";
      }
      return "";
    }
    if (word == "properties" || word == "additionalProperties" || word == "patternProperties")
      return word == "additionalProperties" ? members(schema, node, path) : "";
    if (word == "description" || word == "$schema" || word == "title" || word == "definitions") return "";
    throw std::runtime_error("unknown word " + word);
  }

  std::string members(const JsonValue& schema, const Node& node, const std::string& path) const {
    const JsonValue* others = schema.at({"additionalProperties"});
    for (const Member& member : node.members) {
      const JsonValue* inner = schema.at({"properties", member.name});
      if (const JsonValue* patterns = schema.at({"patternProperties"}); inner == nullptr && patterns != nullptr) {
        for (const auto& [pattern, target] : patterns->members) {
          if (std::regex_search(member.name, std::regex(pattern))) inner = &target;
        }
      }
      if (inner == nullptr && others->kind == JsonValue::Kind::object) inner = others;
      if (inner == nullptr) return path + "." + member.name + " is not allowed";
      const std::string complaint = check(*inner, member.value, path + "." + member.name);
      if (!complaint.empty()) return complaint;
    }
    return "";
  }

  JsonValue root_;
};

}  // namespace understudy::config
