// The JSON Schemas (draft-04, which editors for TOML understand) of the configuration and of scenarios.
#include "config/declare.hpp"
#include "config/scenario_keys.hpp"

namespace understudy::config {
namespace {

std::string number(double value) { return std::to_string(static_cast<std::int64_t>(value)); }

std::string enumeration(const std::vector<std::string>& words) {
  std::string out = R"({"enum":[)";
  for (std::size_t i = 0; i < words.size(); ++i) out += (i == 0 ? "" : ",") + json_string(words[i]);
  return out + "]}";
}

std::string reference(const Section& section) { return R"({"$ref":"#/definitions/)" + section.id + R"("})"; }

std::string describe(const Section& section, const Key& key) {
  std::string text(key.spec.help.empty() && key.section != nullptr ? key.section->help : std::string(key.spec.help));
  // As on the reference page: what an absent key means goes before what the empty model would print.
  const std::string usual = key.spec.required        ? ""
                            : key.spec.unset.empty() ? default_text(section, key)
                                                     : std::string(key.spec.unset);
  if (!usual.empty()) text += " Default: " + usual + ".";
  if (key.spec.restart) text += " Takes effect at the next start.";
  return text;
}

class SchemaWriter {
public:
  // With `expands`, every text may be "${NAME}" or "${file:PATH}" instead.
  explicit SchemaWriter(bool expands) : expands_(expands) {}

  std::string document(const std::string& title, const std::string& definition, const Section& root,
                       const std::vector<const Section*>& sections) const {
    std::string definitions = definition;
    for (const Section* section : sections) {
      if (section == &root) continue;
      definitions +=
          (definitions.empty() ? "" : ",") + ("\n    " + json_string(section->id)) + ": {" + object(*section) + "}";
    }
    return "{\n  \"$schema\": \"http://json-schema.org/draft-04/schema#\",\n  \"title\": " + json_string(title) +
           ",\n  \"definitions\": {" + definitions + "\n  },\n  " + object(root) + "\n}\n";
  }

private:
  static constexpr const char* expansion = R"(\\$\\{.+\\})";

  std::string pattern(const std::string& inner, std::string_view word) const {
    std::string choices = inner;
    if (!word.empty()) choices += (choices.empty() ? "" : "|") + std::string(word);
    if (expands_) choices += (choices.empty() ? "" : "|") + std::string(expansion);
    return R"({"type":"string","pattern":"^()" + choices + R"()$"})";
  }

  // A text that comes from outside may stand wherever a text may.
  std::string or_expanded(const std::string& schema) const {
    return expands_ ? R"({"anyOf":[)" + schema + "," + pattern("", "") + "]}" : schema;
  }

  std::string integer(const Spec& spec) const {
    const std::string number_schema =
        R"({"type":"integer","minimum":)" + number(spec.min) + R"(,"maximum":)" + number(spec.max) + "}";
    if (spec.word.empty()) return or_expanded(number_schema);
    return R"({"anyOf":[)" + number_schema + "," + pattern("", spec.word) + "]}";
  }

  std::string value(const Key& key) const {
    switch (key.type) {
      case Type::text: return key.spec.allow_empty ? R"({"type":"string"})" : R"({"type":"string","minLength":1})";
      case Type::path:
      case Type::secret:
      case Type::address: return R"({"type":"string","minLength":1})";
      case Type::boolean: return or_expanded(R"({"type":"boolean"})");
      case Type::integer: return integer(key.spec);
      case Type::duration: return pattern("([0-9]+(d|h|ms|m|s))+", key.spec.word);
      case Type::size: return pattern("[0-9]+([kMGT]B|[KMGT]iB|B)", key.spec.word);
      case Type::byte_rate: return pattern("[0-9]+([kMGT]B|[KMGT]iB|B)/s", key.spec.word);
      case Type::rate: return pattern("[0-9]+(\\\\.[0-9]+)?/[smh]", key.spec.word);
      case Type::share: return pattern("[0-9]+(\\\\.[0-9]+)?%", key.spec.word);
      case Type::choice: return or_expanded(enumeration(key.choices));
      case Type::text_list:
      case Type::address_list:
      case Type::network_list: return R"({"type":"array","items":{"type":"string","minLength":1}})";
      case Type::text_map: return R"({"type":"object","additionalProperties":{"type":"string","minLength":1}})";
      case Type::table: return reference(*key.section);
      case Type::named_tables:
        return R"({"type":"object","patternProperties":{"^[A-Za-z0-9._-]{1,64}$":)" + reference(*key.section) +
               R"(},"additionalProperties":false})";
      case Type::table_list: return R"({"type":"array","items":)" + reference(*key.section) + "}";
      case Type::mixed: return or_expanded(key.schema);
    }
    return "{}";
  }

  std::string object(const Section& section) const {
    std::string properties;
    std::string required;
    for (const Key& key : section.keys) {
      properties += (properties.empty() ? "" : ",") + ("\n      " + json_string(key.name)) +
                    ": {\"description\":" + json_string(describe(section, key)) + ",\"allOf\":[" + value(key) + "]}";
      if (key.spec.required) required += (required.empty() ? "" : ",") + json_string(key.name);
    }
    std::string out =
        R"("type":"object","description":)" + json_string(section.help) + R"(,"additionalProperties":false,)";
    if (!required.empty()) out += R"("required":[)" + required + "],";
    return out + "\"properties\":{" + properties + "}";
  }

  bool expands_;
};

}  // namespace

std::string json_schema() {
  const std::string endpoint = "\n    \"endpoint_or_address\": {\"anyOf\":[{\"type\":\"string\",\"minLength\":1}," +
                               reference(endpoint_section()) + "]}";
  return SchemaWriter(true).document("Understudy configuration", endpoint, root_section(), all_sections());
}

std::string scenario_schema() {
  return SchemaWriter(false).document("Understudy scenario", "", scenario_section(), scenario_sections());
}

}  // namespace understudy::config
