// A machine for the loader: an environment and files that exist only here.
#pragma once

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "config/load.hpp"

namespace understudy::config {

inline LoadContext test_context() {
  LoadContext context;
  context.environment = [](const std::string& name) -> std::optional<std::string> {
    static const std::map<std::string, std::string> variables{
        {"SECRET", "canary-5f3a"},      {"EMPTY", ""},         {"WORKERS", "4"},     {"WATCH", "true"},
        {"UPSTREAM", "10.0.0.11:8080"}, {"TIMEOUT", "1500ms"}, {"BAD_UTF8", "a\xff"}};
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  context.read_file = [](const std::string& path) -> std::optional<std::string> {
    const std::string name = path.substr(path.rfind('/') + 1);
    static const std::map<std::string, std::string> files{
        {"admin.token", "canary-9d41-of-the-file\n"},
        {"site.pem", "PEM"},
        {"site.key", "PEM"},
        {"other.pem", "PEM"},
        {"other.key", "PEM"},
        {"open.key", "PEM"},
        {"clients.pem", "PEM"},
        {"ca.pem", "PEM"},
        {"alert.secret", "canary-4be7-of-the-alert\n"},
        {"primary_dies.toml",
         "name = \"The primary dies\"\n[[fault]]\nat = \"2s\"\nwhere = "
         "\"primary\"\nkind = \"kill\"\n[expect]\nmoves = 2\n"},
        {"sandbox_only.toml",
         "name = \"x\"\n[[fault]]\nat = \"2s\"\nwhere = \"primary\"\nkind "
         "= \"overload\"\nlimit = 3\n[expect]\nmoves = 2\n"},
        {"crlf.token", "with-crlf\r\n"}};
    const auto found = files.find(name);
    if (found == files.end()) return std::nullopt;
    return found->second;
  };
  context.readable_by_others = [](const std::string& path) { return path.find("open.key") != std::string::npos; };
  return context;
}

inline LoadResult load_text(const std::string& text) { return load(text, "understudy.toml", test_context()); }

inline std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

inline bool regenerating() { return std::getenv("UNDERSTUDY_REGENERATE") != nullptr; }

}  // namespace understudy::config
