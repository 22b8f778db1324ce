#include "proxy/server/run.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "proxy/server/process.hpp"

namespace understudy::server {

namespace {

constexpr const char* kSystemRuntime = "/run/understudy";

// systemd's folder, or the system's; an ordinary user who may not write there has one of his own after a login.
std::string runtime_dir() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  if (const std::string given = variable("RUNTIME_DIRECTORY"); !given.empty()) return given.substr(0, given.find(':'));
  if (::geteuid() == 0 || ::access(kSystemRuntime, W_OK) == 0) return kSystemRuntime;
  const std::string own = variable("XDG_RUNTIME_DIR");
  return own.empty() ? kSystemRuntime : own + "/understudy";
}

}  // namespace

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
    context.readable_by_others = [](const std::string& path) {
      struct stat found {};
      return ::stat(path.c_str(), &found) == 0 && (found.st_mode & S_IROTH) != 0;
    };
  }
  context.runtime_dir = runtime_dir();
  return context;
}

config::LoadContext client_context() {
  config::LoadContext context = system_context();
  struct stat found {};
  if (::stat((context.runtime_dir + "/admin.sock").c_str(), &found) != 0) context.runtime_dir = kSystemRuntime;
  return context;
}

std::optional<std::string> read_text(const std::string& path, std::string& why) {
  struct stat found {};
  if (::stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode)) {
    why = "it is a folder";
    return std::nullopt;
  }
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  if (in && in.peek() != std::ifstream::traits_type::eof()) text << in.rdbuf();
  if (in.is_open() && !in.bad() && !text.fail()) return text.str();
  why = std::strerror(errno == 0 ? EIO : errno);
  return std::nullopt;
}

int run(const RunOptions& options) {
  std::string text;
  config::LoadResult loaded;
  if (options.builtin) {
    loaded = options.builtin();
  } else {
    std::string why;
    const auto content = read_text(options.config_path, why);
    if (!content) {
      std::fprintf(stderr,
                   "understudy: cannot read '%s': %s; give the file with -c, or make one with 'understudy init'\n",
                   options.config_path.c_str(), why.c_str());
      return 1;
    }
    text = *content;
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
