// TOML text to Config, strictly. Reports every error, sorted by position. The only user of toml++ is
// document.cpp.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.hpp"

namespace understudy::config {

enum class Severity : std::uint8_t { error, warning };

struct Diagnostic {
  Severity severity = Severity::error;
  std::string file;
  std::uint32_t line = 0;    // 1-based; 0 when the whole file is meant
  std::uint32_t column = 0;  // 1-based, in code points
  std::string message;       // "unknown key 'wieght' in [pool.primary]"
  std::string hint;          // "did you mean 'weight'?", printed behind the caret
  std::uint32_t width = 1;   // carets
};

// What loading needs of the world; the tests hand in fakes. `check --no-files` leaves read_file empty.
struct LoadContext {
  std::function<std::optional<std::string>(const std::string& name)> environment;
  std::function<std::optional<std::string>(const std::string& path)> read_file;  // also proves that a file is readable
  std::string runtime_dir = "/run/understudy";
  // Whether every user of the machine may read a file; private keys then get a warning. Empty: not asked.
  std::function<bool(const std::string& path)> readable_by_others = nullptr;
};

struct LoadResult {
  std::optional<Config> config;         // set if and only if there is no error
  std::vector<Diagnostic> diagnostics;  // errors and warnings, sorted by position
  // "pool.app.balance" -> "understudy.toml:12:1", "environment NAME" or "file PATH"; what `config show
  // --defaults` prints. A key that is not in it has its default. Routes are "route[1]", …
  std::map<std::string, std::string> origins;
};

// `file` is the name used in messages and the base of relative paths; `text` is its content.
LoadResult load(std::string_view text, const std::string& file, const LoadContext& context);

// "understudy.toml:14:1: error: …" with the source line and a caret; at most 20, then a count. `text` is the
// file's content.
std::string render(const std::vector<Diagnostic>& diagnostics, std::string_view text);
std::string render_json(const std::vector<Diagnostic>& diagnostics);

// Effective configuration as TOML; secrets are "***". With defaults, every key and where it came from.
std::string show(const LoadResult& result, bool with_defaults);

std::string json_schema();     // draft-04, from the same declarations
std::string reference_page();  // Markdown, from the same declarations
std::string starter_file();    // what `understudy init` writes; loads without error

// Config for `understudy quick`: one listener, one pool, admin on 127.0.0.1:9900. Errors as in load().
LoadResult quick(const std::string& listen, const std::string& admin, const std::vector<std::string>& primary,
                 const std::vector<std::string>& standby, const LoadContext& context);

// What a reload from `before` to `after` would change that needs a restart: "server.workers", "admin.listen",
// …
std::vector<std::string> restart_only_changes(const Config& before, const Config& after);

}  // namespace understudy::config
