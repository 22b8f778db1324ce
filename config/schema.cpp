// The JSON Schema (draft-04, which editors for TOML understand) of the file.
#include "config/declare.hpp"

namespace understudy::config {
namespace {

// Every text may be "${NAME}" or "${file:PATH}" instead.
constexpr const char* expansion = R"(\\$\\{.+\\})";

std::string pattern(const std::string& inner, std::string_view word) {
  const std::string extra = word.empty() ? "" : "|" + std::string(word);
  return R"({"type":"string","pattern":"^()" + inner + extra + "|" + expansion + R"()$"})";
}

std::string number(double value) { return std::to_string(static_cast<std::int64_t>(value)); }

std::string enumeration(const std::vector<std::string>& words) {
  std::string out = R"({"enum":[)";
  for (std::size_t i = 0; i < words.size(); ++i) out += (i == 0 ? "" : ",") + json_string(words[i]);
  return out + "]}";
}

std::string any_of(const std::string& first, const std::string& second) {
  return R"({"anyOf":[)" + first + "," + second + "]}";
}

std::string reference(const Section& section) { return R"({"$ref":"#/definitions/)" + section.id + R"("})"; }

std::string value_schema(const Key& key) {
  const std::string expanded = pattern("", "").replace(
      0, std::string::npos, R"({"type":"string","pattern":"^)" + std::string(expansion) + R"($"})");
  switch (key.type) {
    case Type::text: return key.spec.allow_empty ? R"({"type":"string"})" : R"({"type":"string","minLength":1})";
    case Type::path:
    case Type::secret:
    case Type::address: return R"({"type":"string","minLength":1})";
    case Type::boolean: return any_of(R"({"type":"boolean"})", expanded);
    case Type::integer: {
      std::string integer =
          R"({"type":"integer","minimum":)" + number(key.spec.min) + R"(,"maximum":)" + number(key.spec.max) + "}";
      return any_of(integer, key.spec.word.empty() ? expanded : pattern(std::string(key.spec.word), ""));
    }
    case Type::duration: return pattern("([0-9]+(d|h|ms|m|s))+", key.spec.word);
    case Type::size: return pattern("[0-9]+([kMGT]B|[KMGT]iB|B)", key.spec.word);
    case Type::byte_rate: return pattern("[0-9]+([kMGT]B|[KMGT]iB|B)/s", key.spec.word);
    case Type::rate: return pattern("[0-9]+(\\\\.[0-9]+)?/[smh]", key.spec.word);
    case Type::share: return pattern("[0-9]+(\\\\.[0-9]+)?%", key.spec.word);
    case Type::choice: return any_of(enumeration(key.choices), expanded);
    case Type::text_list:
    case Type::address_list:
    case Type::network_list: return R"({"type":"array","items":{"type":"string","minLength":1}})";
    case Type::text_map: return R"({"type":"object","additionalProperties":{"type":"string","minLength":1}})";
    case Type::table: return reference(*key.section);
    case Type::named_tables:
      return R"({"type":"object","patternProperties":{"^[A-Za-z0-9._-]{1,64}$":)" + reference(*key.section) +
             R"(},"additionalProperties":false})";
    case Type::table_list: return R"({"type":"array","items":)" + reference(*key.section) + "}";
    case Type::mixed: {
      // A text that comes from outside may stand wherever a text may.
      return any_of(key.schema, expanded);
    }
  }
  return "{}";
}

std::string describe(const Section& section, const Key& key) {
  std::string text(key.spec.help.empty() && key.section != nullptr ? key.section->help : std::string(key.spec.help));
  // As on the reference page: what an absent key means goes before what the empty model would print.
  const std::string usual = key.spec.unset.empty() ? default_text(section, key) : std::string(key.spec.unset);
  if (!usual.empty()) text += " Default: " + usual + ".";
  if (key.spec.restart) text += " Takes effect at the next start.";
  return text;
}

std::string object_schema(const Section& section) {
  std::string properties;
  std::string required;
  for (const Key& key : section.keys) {
    properties += (properties.empty() ? "" : ",") + ("\n      " + json_string(key.name)) +
                  ": {\"description\":" + json_string(describe(section, key)) + ",\"allOf\":[" + value_schema(key) +
                  "]}";
    if (key.spec.required) required += (required.empty() ? "" : ",") + json_string(key.name);
  }
  std::string out =
      R"("type":"object","description":)" + json_string(section.help) + R"(,"additionalProperties":false,)";
  if (!required.empty()) out += R"("required":[)" + required + "],";
  return out + "\"properties\":{" + properties + "}";
}

}  // namespace

std::string json_schema() {
  std::string out =
      "{\n  \"$schema\": \"http://json-schema.org/draft-04/schema#\",\n  \"title\": \"Understudy "
      "configuration\",\n";
  out +=
      "  \"definitions\": {\n    \"endpoint_or_address\": "
      "{\"anyOf\":[{\"type\":\"string\",\"minLength\":1}," +
      reference(endpoint_section()) + "]}";
  for (const Section* section : all_sections())
    out += ",\n    " + json_string(section->id) + ": {" + object_schema(*section) + "}";
  out += "\n  },\n  " + object_schema(root_section()) + "\n}\n";
  return out;
}

}  // namespace understudy::config
