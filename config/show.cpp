// The effective configuration as a TOML file that loads to the same model.
#include "config/declare.hpp"

namespace understudy::config {
namespace {

class Printer {
public:
  Printer(const LoadResult& result, bool with_defaults) : result_(result), with_defaults_(with_defaults) {}

  std::string print() {
    const Config& config = *result_.config;
    table("[server]", server_section(), &config.server, "server");
    table("[admin]", admin_section(), &config.admin, "admin");
    table("[log]", log_section(), &config.log, "log");
    table("[dns]", dns_section(), &config.dns, "dns");
    table("[incidents]", incidents_section(), &config.incidents, "incidents");
    for (const AlertConfig& alert : config.alerts) {
      table("[alerts." + quoted(alert.name) + "]", alert_section(), &alert, "alerts." + alert.name, true);
    }
    for (const DrillConfig& drill : config.drills) {
      table("[drill." + quoted(drill.name) + "]", drill_section(), &drill, "drill." + drill.name, true);
    }
    for (const ListenerConfig& listener : config.listeners) {
      table("[listen." + quoted(listener.name) + "]", listen_section(), &listener, "listen." + listener.name, true);
    }
    for (const PoolConfig& pool : config.pools) {
      table("[pool." + quoted(pool.name) + "]", pool_section(), &pool, "pool." + pool.name, true);
    }
    for (std::size_t i = 0; i < config.routes.size(); ++i)
      route(config.routes[i], "route[" + std::to_string(i + 1) + "]");
    return std::move(out_);
  }

private:
  static std::string quoted(const std::string& name) {
    return name.find('.') == std::string::npos ? name : toml_string(name);
  }

  std::string origin(const std::string& path) const {
    const auto found = result_.origins.find(path);
    return found == result_.origins.end() ? "default" : found->second;
  }

  void line(const std::string& text, const std::string& comment) {
    out_ += text;
    if (with_defaults_) {
      if (text.size() < 48) out_.append(48 - text.size(), ' ');
      out_ += "  # " + comment;
    }
    out_ += '\n';
  }

  // Keys of one table; the tables inside come after them, under their own headers.
  void table(const std::string& header, const Section& section, const void* object, const std::string& path,
             bool always = false) {
    const std::size_t start = out_.size();
    if (start != 0) out_ += '\n';
    out_ += header + "\n";
    const std::size_t body = out_.size();
    for (const Key& key : section.keys) {
      if (!key.open) value(key, key.write(object), path);
    }
    if (out_.size() == body && !always) out_.resize(start);
    for (const Key& key : section.keys) {
      if (!key.open) continue;
      const void* inner = key.view(object);
      const std::string inner_header = header.substr(0, header.size() - 1) + "." + key.name + "]";
      // A table that may be absent means something by being there, even when it is empty.
      const bool optional = key.view(section.defaults()) == nullptr;
      if (inner != nullptr) {
        table(inner_header, *key.section, inner, path + "." + key.name, optional);
      } else if (with_defaults_) {
        out_ += "\n# " + inner_header + " is not set\n";
      }
    }
  }

  void value(const Key& key, const std::string& text, const std::string& path) {
    const std::string from = origin(path + "." + key.name);
    if (!with_defaults_ && from == "default") return;
    if (!text.empty()) {
      line(key.name + " = " + text, from);
    } else if (with_defaults_) {
      line("# " + key.name, "not set");
    }
  }

  // Routes keep their tables on one line: a header below [[route]] would be easy to put under the wrong one.
  void route(const RouteConfig& route, const std::string& path) {
    if (!out_.empty()) out_ += '\n';
    out_ += "[[route]]\n";
    for (const Key& key : route_section().keys) {
      if (!key.open) {
        std::string text = key.write(&route);
        if (key.name == "pool" && !text.empty() && origin(path + ".pool") == "default") {
          line("pool = " + text, "the only pool");
        } else {
          value(key, text, path);
        }
        continue;
      }
      const void* inner = key.view(&route);
      std::string text = inner == nullptr ? "" : inline_table(*key.section, inner);
      const bool optional = key.view(route_section().defaults()) == nullptr;
      if (text == "{}" && !optional) text.clear();
      if (!text.empty()) {
        line(key.name + " = " + text, origin(path + "." + key.name));
      } else if (with_defaults_) {
        line("# " + key.name, "not set");
      }
    }
  }

  const LoadResult& result_;
  bool with_defaults_;
  std::string out_;
};

}  // namespace

std::string show(const LoadResult& result, bool with_defaults) {
  if (!result.config) return "";
  return Printer(result, with_defaults).print();
}

}  // namespace understudy::config
