// Finding things in a message head that is known to be sound: origin and client look at few fields and at those cheaply.
#pragma once

#include <cstddef>
#include <string_view>

namespace bench {

// Length of the head with its empty line; 0 while it is not complete.
std::size_t head_length(const char* data, std::size_t size);
// Value of a field by its name in small letters; empty when absent.
std::string_view field(std::string_view head, std::string_view name);
bool equals_field(std::string_view head, std::string_view name, std::string_view value);
// 0 when absent.
std::size_t number_field(std::string_view head, std::string_view name);

}  // namespace bench
