// "Did you mean …?": the nearest of a few words to a mistyped one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace understudy::config {

// Damerau-Levenshtein distance (optimal string alignment), or limit + 1 as soon as it is known to exceed the
// limit.
unsigned edit_distance(std::string_view a, std::string_view b, unsigned limit);

// The word nearest to `typed`: distance at most 2 (1 for words of up to 4 letters), else one that shares its
// first four letters or more and extends it. nullopt when none is near.
std::optional<std::string> nearest(std::string_view typed, const std::vector<std::string_view>& words);

}  // namespace understudy::config
