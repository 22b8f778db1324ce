#include "proxy/server/run.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "proxy/server/process.hpp"

namespace understudy::server {

config::LoadContext system_context(bool with_files) {
  config::LoadContext context;
  context.environment = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
  if (with_files) {
    context.read_file = [](const std::string& path) -> std::optional<std::string> {
      std::ifstream in(path, std::ios::binary);
      if (!in) return std::nullopt;
      std::stringstream text;
      text << in.rdbuf();
      if (in.bad()) return std::nullopt;
      return text.str();
    };
  }
  if (const char* dir = std::getenv("RUNTIME_DIRECTORY"); dir != nullptr && *dir != '\0') context.runtime_dir = dir;
  return context;
}

int run(const RunOptions& options) {
  std::string text;
  config::LoadResult loaded;
  if (options.builtin) {
    loaded = options.builtin();
  } else {
    std::ifstream in(options.config_path);
    if (!in) {
      std::fprintf(stderr, "understudy: cannot read '%s'; give the file with -c, or make one with `understudy init`\n",
                   options.config_path.c_str());
      return 1;
    }
    std::stringstream content;
    content << in.rdbuf();
    text = content.str();
    loaded = config::load(text, options.config_path, system_context());
  }
  if (!loaded.config) {
    std::fputs(config::render(loaded.diagnostics, text).c_str(), stderr);
    return 1;
  }
  Process process(options, std::move(loaded));
  if (const std::string error = process.start(); !error.empty()) {
    std::fprintf(stderr, "understudy: %s\n", error.c_str());
    return 1;
  }
  return process.run();
}

}  // namespace understudy::server
