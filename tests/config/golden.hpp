// What is printed about NAME.toml must be NAME.expected, byte by byte: the part that configurations and scenarios share. After an
// intended change run with UNDERSTUDY_REGENERATE=1 and read the diff.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/config/support.hpp"
#include "tests/support/source_dir.hpp"

namespace understudy::config {

class GoldenFolder {
public:
  explicit GoldenFolder(const std::string& name)
      : path_(std::string(understudy::support::source_dir()) + "/tests/config/" + name + "/") {}

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      if (entry.path().extension() == ".toml") names.push_back(entry.path().stem().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string text(const std::string& name) const { return read_all(path_ + name + ".toml"); }
  void expect_printed(const std::string& name, const std::string& printed) const {
    const std::string expected = path_ + name + ".expected";
    if (regenerating()) std::ofstream(expected, std::ios::binary) << printed;
    EXPECT_EQ(printed, read_all(expected));
    EXPECT_FALSE(printed.empty()) << "a case without a complaint belongs among the good ones";
  }
  void expect_many_and_none_left_over(std::size_t least) const {
    const auto known = names();
    EXPECT_GE(known.size(), least);
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      if (entry.path().extension() != ".expected") continue;
      EXPECT_TRUE(std::binary_search(known.begin(), known.end(), entry.path().stem().string())) << entry.path();
    }
  }

private:
  std::string path_;
};

// What an editor or a script relies on, whatever the words are: sorted, and inside the file.
inline void expect_placed(const std::vector<Diagnostic>& diagnostics, const std::string& text) {
  const auto lines = static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  std::pair<std::uint32_t, std::uint32_t> last{0, 0};
  for (const Diagnostic& diagnostic : diagnostics) {
    const std::pair<std::uint32_t, std::uint32_t> here{diagnostic.line, diagnostic.column};
    EXPECT_LE(last, here) << "not sorted by position";
    EXPECT_LE(diagnostic.line, lines);
    EXPECT_EQ(diagnostic.line == 0, diagnostic.column == 0);
    EXPECT_FALSE(diagnostic.message.empty());
    last = here;
  }
}

inline bool holds_error(const std::vector<Diagnostic>& diagnostics) {
  return std::any_of(diagnostics.begin(), diagnostics.end(),
                     [](const Diagnostic& diagnostic) { return diagnostic.severity == Severity::error; });
}

}  // namespace understudy::config
