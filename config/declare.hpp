// How keys are declared: a name, a field of the model, and a Spec. Only for keys_*.cpp.
#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include "config/keys.hpp"
#include "config/reader.hpp"
#include "config/text.hpp"
#include "config/units.hpp"

namespace understudy::config {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

inline std::string word_text(std::string_view word) { return word.empty() ? "" : toml_string(word); }

inline std::string bool_text(bool value) { return value ? "true" : "false"; }

inline std::string list_text(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const std::string& item : items) out += (out.size() > 1 ? ", " : "") + item;
  return out + "]";
}

// A key that is an error where it does nothing must not be shown there either.
template <class Condition>
void show_only_if(Key& key, const Section& section, Condition condition) {
  key.default_value = key.write(section.defaults());
  key.write = [condition, write = key.write](const void* object) { return condition(object) ? write(object) : ""; };
}

template <class Owner>
class Declare {
public:
  explicit Declare(Section& section) : section_(section) {
    section.defaults = [] {
      static const Owner object{};
      return static_cast<const void*>(&object);
    };
  }

  using Read = std::function<void(Reader&, const Node&, const Spot&, Owner&)>;
  using Write = std::function<std::string(const Owner&)>;

  // Any key: its own reading and writing.
  Key& key(const char* name, Type type, const Spec& spec, Read read, Write write) {
    Key& key = section_.keys.emplace_back();
    key.name = name;
    key.type = type;
    key.spec = spec;
    key.read = [read = std::move(read)](Reader& reader, const Node& node, const Spot& spot, void* object) {
      read(reader, node, spot, *static_cast<Owner*>(object));
    };
    key.write = [write = std::move(write)](const void* object) { return write(*static_cast<const Owner*>(object)); };
    return key;
  }

  Key& mixed(const char* name, const char* schema, const Spec& spec, Read read, Write write) {
    Key& made = key(name, Type::mixed, spec, std::move(read), std::move(write));
    made.schema = schema;
    return made;
  }

  void text(const char* name, std::string Owner::*field, const Spec& spec) {
    key(
        name, Type::text, spec,
        [field, spec](Reader& reader, const Node& node, const Spot& spot, Owner& owner) {
          if (const auto value = reader.text(node, spot, spec)) owner.*field = *value;
        },
        [field, spec](const Owner& owner) { return texts(owner.*field, spec); });
  }

  void path(const char* name, std::string Owner::*field, const Spec& spec) {
    key(
        name, Type::path, spec,
        [field, spec](Reader& reader, const Node& node, const Spot& spot, Owner& owner) {
          if (!spec.word.empty() && Reader::is_word(node, spec.word)) {
            (owner.*field).clear();
          } else if (const auto value = reader.file_path(node, spot, spec)) {
            owner.*field = *value;
          }
        },
        [field, spec](const Owner& owner) {
          return (owner.*field).empty() ? word_text(spec.word) : toml_string(owner.*field);
        });
  }

  void boolean(const char* name, bool Owner::*field, const Spec& spec) {
    key(
        name, Type::boolean, spec,
        [field](Reader& reader, const Node& node, const Spot& spot, Owner& owner) {
          if (const auto value = reader.boolean(node, spot)) owner.*field = *value;
        },
        [field](const Owner& owner) { return bool_text(owner.*field); });
  }

  // Integers; an optional field is empty with the spec's word, a plain one is 0.
  template <class T>
  void integer(const char* name, T Owner::*field, const Spec& spec) {
    key(
        name, Type::integer, spec,
        [field, spec](Reader& reader, const Node& node, const Spot& spot, Owner& owner) {
          if (!spec.word.empty() && Reader::is_word(node, spec.word)) {
            owner.*field = T{};
          } else if (const auto value = reader.integer(node, spot, spec)) {
            owner.*field = cast<T>(*value);
          }
        },
        [field, spec](const Owner& owner) {
          if (is_none(owner.*field, spec)) return word_text(spec.word);
          return std::to_string(plain(owner.*field));
        });
  }

  template <class T>
  void duration(const char* name, T Owner::*field, const Spec& spec) {
    key(
        name, Type::duration, spec,
        [field, spec](Reader& reader, const Node& node, const Spot& spot, Owner& owner) {
          if (!spec.word.empty() && Reader::is_word(node, spec.word)) {
            owner.*field = T{};
          } else if (const auto value = reader.duration(node, spot, spec)) {
            owner.*field = *value;
          }
        },
        [field, spec](const Owner& owner) {
          if (is_none(owner.*field, spec)) return word_text(spec.word);
          return toml_string(format_duration(plain(owner.*field)));
        });
  }

  // size, byte_rate, rate or share.
  template <class T>
  void quantity(const char* name, Type type, T Owner::*field, const Spec& spec) {
    key(
        name, type, spec,
        [field, spec, type](Reader& reader, const Node& node, const Spot& spot, Owner& owner) {
          if (!spec.word.empty() && Reader::is_word(node, spec.word)) {
            owner.*field = T{};
          } else if (const auto value = reader.quantity(type, node, spot, spec)) {
            owner.*field = cast<T>(*value);
          }
        },
        [field, spec, type](const Owner& owner) {
          if (is_none(owner.*field, spec)) return word_text(spec.word);
          return toml_string(format_value(type, static_cast<double>(plain(owner.*field))));
        });
  }

  template <class T>
  void size(const char* name, T Owner::*field, const Spec& spec) {
    quantity(name, Type::size, field, spec);
  }

  // One of `choices`, which stand in the order of the enum's values.
  template <class E>
  void choice(const char* name, E Owner::*field, std::vector<std::string> choices, const Spec& spec) {
    Key& made = key(
        name, Type::choice, spec,
        [field, choices](Reader& reader, const Node& node, const Spot& spot, Owner& owner) {
          if (const auto value = reader.choice(node, spot, choices)) owner.*field = static_cast<E>(*value);
        },
        [field, choices](const Owner& owner) { return toml_string(choices[static_cast<std::size_t>(owner.*field)]); });
    made.choices = std::move(choices);
  }

  void texts_list(const char* name, std::vector<std::string> Owner::*field, const Spec& spec) {
    key(
        name, Type::text_list, spec,
        [field, spec](Reader& reader, const Node& node, const Spot& spot, Owner& owner) {
          const auto list = reader.text_list(node, spot, spec);
          if (!list) return;
          (owner.*field).clear();
          for (const ListedText& item : *list) (owner.*field).push_back(item.text);
        },
        [field](const Owner& owner) {
          std::vector<std::string> items;
          for (const std::string& item : owner.*field) items.push_back(toml_string(item));
          return list_text(items);
        });
  }

  // A table that is always there.
  template <class T>
  void table(const char* name, T Owner::*field, const Section& section, const Spec& spec, const char* inherits = "") {
    Key& made = section_.keys.emplace_back();
    made.name = name;
    made.type = Type::table;
    made.spec = spec;
    made.section = &section;
    made.inherits = inherits;
    made.open = [field](void* object) { return static_cast<void*>(&value_of(static_cast<Owner*>(object)->*field)); };
    made.view = [field](const void* object) { return view_of(static_cast<const Owner*>(object)->*field); };
  }

private:
  template <class T>
  static T& value_of(T& value) {
    return value;
  }
  template <class T>
  static T& value_of(std::optional<T>& value) {
    return value ? *value : value.emplace();
  }
  template <class T>
  static const void* view_of(const T& value) {
    return &value;
  }
  template <class T>
  static const void* view_of(const std::optional<T>& value) {
    return value ? &*value : nullptr;
  }

  template <class T, class V>
  static T cast(V value) {
    if constexpr (IsOptional<T>::value) {
      return static_cast<typename T::value_type>(value);
    } else {
      return static_cast<T>(value);
    }
  }
  template <class T>
  static auto plain(const T& value) {
    if constexpr (IsOptional<T>::value) {
      return *value;
    } else {
      return value;
    }
  }
  // Whether the field says what the spec's word says.
  template <class T>
  static bool is_none(const T& value, const Spec& spec) {
    if constexpr (IsOptional<T>::value) {
      return !value;
    } else {
      return !spec.word.empty() && value == T{};
    }
  }
  static std::string texts(const std::string& value, const Spec& spec) {
    return value.empty() && !spec.allow_empty ? "" : toml_string(value);
  }

  Section& section_;
};

}  // namespace understudy::config
