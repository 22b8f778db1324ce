// The keys of [[route]].
#include <algorithm>
#include <array>

#include "config/declare.hpp"

namespace understudy::config {
namespace {

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// --- match ---

void read_host(Reader& reader, const Node& node, const Spot& spot, RouteMatch& match) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  std::string host = lower(*text);
  if (host == "*") return reader.error(node.span, "'host' can't be '*'", "leave 'host' out to match every host");
  if (!host.empty() && host.back() == '.') host.pop_back();
  const bool bracketed =
      host.size() > 2 && host.front() == '[' && host.back() == ']' && parse_ip(host.substr(1, host.size() - 2));
  const std::string name = host.substr(0, 2) == "*." ? host.substr(2) : host;
  std::string ignored;
  const bool good = bracketed || (name.find_first_of(":*[]/") == std::string::npos && name.substr(0, 5) != "unix:" &&
                                  parse_address(name, 80, &ignored));
  if (!good) {
    const bool port = !bracketed && host.find(':') != std::string::npos && host.find('/') == std::string::npos;
    return reader.error(node.span, "'host'" + Reader::quoted(node) + (port ? " has a port" : " is not a host name"),
                        port ? "routes match the name only" : "write \"example.org\" or \"*.example.org\"");
  }
  match.host = host;
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

void read_path(Reader& reader, const Node& node, const Spot& spot, RouteMatch& match) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  const auto refuse = [&](const char* problem, const std::string& hint) {
    reader.error(node.span, "'path'" + Reader::quoted(node) + " " + problem, hint);
  };
  if (text->front() != '/')
    return refuse("does not start with '/'",
                  *text == "*" ? "write \"/*\", or leave 'path' out" : "write \"/" + printable(*text, 100) + "\"");
  if (text->find_first_of("?#") != std::string::npos)
    return refuse("contains '?' or '#'", "routes match the path only");
  if (text->find_first_of(" \\") != std::string::npos)
    return refuse("contains a space or backslash", "write it encoded, as %20 or %5C");
  for (std::size_t i = 0; i < text->size(); ++i) {
    if ((*text)[i] == '%' && (i + 2 >= text->size() || !is_hex((*text)[i + 1]) || !is_hex((*text)[i + 2]))) {
      return refuse("has a '%' that is no escape", "write \"%25\" for the character itself");
    }
  }
  for (std::size_t at = text->find("**"); at != std::string::npos; at = text->find("**", at + 2)) {
    const bool whole = (*text)[at - 1] == '/' && (at + 2 == text->size() || (*text)[at + 2] == '/');
    if (!whole) return refuse("has a '**' that is not a whole segment", "write \"/**/\" between segments");
  }
  match.path = *text;
}

bool check_method(Reader& reader, const std::string& method, const Span& span) {
  if (!is_token(method) || std::any_of(method.begin(), method.end(), [](char c) { return c >= 'a' && c <= 'z'; })) {
    std::string upper = method;
    for (char& c : upper) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    reader.error(span, "'" + printable(method) + "' is not a method",
                 is_token(upper) ? "write \"" + printable(upper) + "\"" : "");
    return false;
  }
  if (method == "CONNECT" || method == "TRACE") {
    reader.error(span, "method " + method + " is always refused", "leave it out");
    return false;
  }
  return true;
}

void read_method(Reader& reader, const Node& node, const Spot& spot, RouteMatch& match) {
  const auto text = reader.text(node, spot, {});
  if (text && check_method(reader, *text, node.span)) match.methods = {*text};
}

void read_methods(Reader& reader, const Node& node, const Spot& spot, RouteMatch& match) {
  const auto list = reader.text_list(node, spot, {});
  if (!list) return;
  if (!match.methods.empty()) return reader.error(node.span, "'methods' stands beside 'method'", "keep one of them");
  if (list->empty()) return reader.error(node.span, "'methods' is empty", "leave it out to match every method");
  for (const ListedText& item : *list) {
    if (!check_method(reader, item.text, item.span)) continue;
    if (std::find(match.methods.begin(), match.methods.end(), item.text) != match.methods.end()) {
      reader.error(item.span, "method " + item.text + " is given twice");
    } else {
      match.methods.push_back(item.text);
    }
  }
}

bool check_field_name(Reader& reader, const std::string& name, const Span& span) {
  if (is_token(name)) return true;
  reader.error(span, "'" + printable(name) + "' is not the name of a header field");
  return false;
}

void read_match_headers(Reader& reader, const Node& node, const Spot& spot, RouteMatch& match) {
  const auto map = reader.text_map(node, spot);
  if (!map) return;
  match.headers.clear();
  for (const NamedText& entry : *map) {
    if (check_field_name(reader, entry.name, entry.span)) match.headers.emplace_back(entry.name, entry.value);
  }
}

std::string map_text(const std::vector<NameValue>& map) {
  if (map.empty()) return "";
  std::string out = "{ ";
  for (const auto& [name, value] : map)
    out += (out.size() > 2 ? ", " : "") + toml_string(name) + " = " + toml_string(value);
  return out + " }";
}

// --- redirect ---

bool check_target(Reader& reader, const Node& node, const std::string& to) {
  const auto starts = [&](std::string_view prefix) { return to.substr(0, prefix.size()) == prefix; };
  if (!starts("/") && !starts("http://") && !starts("https://") && !starts("{path}")) {
    reader.error(node.span, "a redirect must lead to a path or an absolute URL",
                 "write \"/elsewhere\" or \"https://{host}{path}\"");
    return false;
  }
  if (to.find_first_of(" \"<>\\^`|") != std::string::npos) {
    reader.error(node.span, "a redirect's target contains a character that URLs can't have");
    return false;
  }
  for (std::size_t open = to.find('{'); open != std::string::npos; open = to.find('{', open + 1)) {
    const std::size_t close = to.find('}', open);
    const std::string name = close == std::string::npos ? to.substr(open) : to.substr(open, close + 1 - open);
    if (name == "{path}" || name == "{query}" || name == "{host}") continue;
    reader.error(node.span, "unknown placeholder '" + printable(name) + "' in a redirect",
                 "there are {host}, {path} and {query}");
    return false;
  }
  return true;
}

void read_target(Reader& reader, const Node& node, const Spot& spot, RedirectConfig& redirect) {
  const auto text = reader.text(node, spot, {});
  if (text && check_target(reader, node, *text)) redirect.to = *text;
}

void read_redirect_status(Reader& reader, const Node& node, const Spot& spot, RedirectConfig& redirect) {
  const auto status = reader.integer(node, spot, {});
  if (!status) return;
  constexpr std::array<std::int64_t, 5> known{301, 302, 303, 307, 308};
  if (std::find(known.begin(), known.end(), *status) == known.end()) {
    return reader.error(node.span, "'status' of a redirect must be 301, 302, 303, 307 or 308");
  }
  redirect.status = static_cast<std::uint16_t>(*status);
}

// --- header rules ---

using HeaderRules = std::vector<HeaderRule>;

// Fields that carry the framing of a message or belong to one connection: the proxy writes them (law 1).
bool check_rule_name(Reader& reader, const std::string& name, const Span& span) {
  if (!check_field_name(reader, name, span)) return false;
  constexpr std::array<std::string_view, 9> ours{"connection", "content-length", "keep-alive", "proxy-connection",
                                                 "te",         "trailer",        "upgrade",    "transfer-encoding",
                                                 "expect"};
  if (std::find(ours.begin(), ours.end(), lower(name)) == ours.end()) return true;
  reader.error(span, "'" + name + "' is set by the proxy alone");
  return false;
}

void declare_value_rules(Declare<HeaderRules>& declare, const char* name, HeaderOp op, std::string_view help) {
  declare.key(
      name, Type::text_map, {.help = help, .example = "{ X-Served-By = \"understudy\" }"},
      [op](Reader& reader, const Node& node, const Spot& spot, HeaderRules& rules) {
        const auto map = reader.text_map(node, spot);
        if (!map) return;
        for (const NamedText& entry : *map) {
          if (check_rule_name(reader, entry.name, entry.span)) rules.push_back({op, entry.name, entry.value});
        }
      },
      [op](const HeaderRules& rules) {
        std::vector<NameValue> map;
        for (const HeaderRule& rule : rules) {
          if (rule.op == op) map.emplace_back(rule.name, rule.value);
        }
        return map_text(map);
      });
}

// --- websocket ---

void read_close_code(Reader& reader, const Node& node, const Spot& spot, WebSocketConfig& socket) {
  const auto code = reader.integer(node, spot, {});
  if (!code) return;
  // RFC 6455 §7.4: 1004 to 1006 and 1015 are never sent, 1016 to 2999 have no meaning.
  const bool own = *code >= 3000 && *code <= 4999;
  const bool known = (*code >= 1000 && *code <= 1003) || (*code >= 1007 && *code <= 1014);
  if (!own && !known)
    return reader.error(node.span, "'close_code' " + std::to_string(*code) + " may not be sent in a Close frame",
                        "1001 goes away, 1012 restarts, 1013 asks to come back later; 3000 to 4999 are your own");
  socket.close_code = static_cast<std::uint16_t>(*code);
}

void read_close_reason(Reader& reader, const Node& node, const Spot& spot, WebSocketConfig& socket) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  if (text->size() > 123)
    return reader.error(node.span, "'close_reason' is longer than the 123 bytes that a Close frame has room for");
  socket.close_reason = *text;
}

// --- the rest ---

void declare_prefix(Declare<RouteConfig>& declare, const char* name, std::string RouteConfig::*field,
                    std::string_view help) {
  declare.key(
      name, Type::text, {.help = help, .example = "\"/api\""},
      [field](Reader& reader, const Node& node, const Spot& spot, RouteConfig& route) {
        const auto text = reader.text(node, spot, {});
        if (!text) return;
        if (text->front() != '/' || text->find_first_of("?# \\*") != std::string::npos) {
          return reader.error(node.span, "'" + std::string(spot.name) +
                                             "' must be a path that starts with '/', without '?', '#', '*' or spaces");
        }
        route.*field = *text;
      },
      [field](const RouteConfig& route) { return (route.*field).empty() ? "" : toml_string(route.*field); });
}

}  // namespace

const Section& match_section() {
  static const Section section = [] {
    Section made{.id = "match",
                 .header = "[[route]].match",
                 .help = "What a request must be for the route to apply; what is left out matches everything."};
    Declare<RouteMatch> declare(made);
    declare.key("host", Type::text,
                {.help = "Host name, or `*.` and a suffix.", .example = "\"*.example.org\"", .unset = "every host"},
                read_host, [](const RouteMatch& match) { return match.host.empty() ? "" : toml_string(match.host); });
    declare.key("path", Type::text,
                {.help = "Path: exact, `/below/*`, or with `*` within a segment and `**` for any number of segments.",
                 .example = "\"/devices/*\"",
                 .unset = "every path"},
                read_path, [](const RouteMatch& match) { return match.path.empty() ? "" : toml_string(match.path); });
    declare.key("method", Type::text, {.help = "One method.", .example = "\"GET\"", .unset = "every method"},
                read_method,
                [](const RouteMatch& match) { return match.methods.size() == 1 ? toml_string(match.methods[0]) : ""; });
    declare.key("methods", Type::text_list,
                {.help = "Several methods.", .example = "[\"GET\", \"HEAD\"]", .unset = "every method"}, read_methods,
                [](const RouteMatch& match) {
                  std::vector<std::string> items;
                  for (const std::string& method : match.methods) items.push_back(toml_string(method));
                  return items.size() > 1 ? list_text(items) : "";
                });
    declare.key("headers", Type::text_map,
                {.help = "Header fields with their values, all of which must match; `\"*\"` means present.",
                 .example = "{ X-Beta = \"*\" }",
                 .unset = "any"},
                read_match_headers, [](const RouteMatch& match) { return map_text(match.headers); });
    return made;
  }();
  return section;
}

const Section& redirect_section() {
  static const Section section = [] {
    Section made{.id = "redirect",
                 .header = "[[route]].redirect",
                 .help = "A redirect as the answer. `redirect = \"URL\"` is short for `redirect = { to = \"URL\" }`."};
    Declare<RedirectConfig> declare(made);
    declare.key("to", Type::text,
                {.help = "Path or absolute URL; `{host}`, `{path}` and `{query}` are replaced.",
                 .example = "\"https://www.example.org{path}\"",
                 .required = true},
                read_target,
                [](const RedirectConfig& redirect) { return redirect.to.empty() ? "" : toml_string(redirect.to); });
    declare.key("status", Type::integer,
                {.help = "301, 302, 303, 307 or 308.", .min = 301, .max = 308, .example = "301"}, read_redirect_status,
                [](const RedirectConfig& redirect) { return std::to_string(redirect.status); });
    return made;
  }();
  return section;
}

const Section& respond_section() {
  static const Section section = [] {
    Section made{.id = "respond", .header = "[[route]].respond", .help = "A fixed answer."};
    Declare<RespondConfig> declare(made);
    declare.integer("status", &RespondConfig::status,
                    {.help = "Status code.", .min = 200, .max = 599, .example = "404"});
    declare.text("body", &RespondConfig::body,
                 {.help = "Body.", .example = "\"gone fishing\\n\"", .allow_empty = true});
    declare.text("content_type", &RespondConfig::content_type,
                 {.help = "Its media type.", .example = "\"application/json\""});
    return made;
  }();
  return section;
}

const Section& header_rules_section() {
  static const Section section = [] {
    Section made{.id = "headers",
                 .header = "[[route]].request_headers",
                 .also = "[[route]].response_headers",
                 .help = "Changes to header fields on their way, in this order."};
    Declare<HeaderRules> declare(made);
    declare.key(
        "remove", Type::text_list, {.help = "Fields to take away.", .example = "[\"X-Powered-By\"]"},
        [](Reader& reader, const Node& node, const Spot& spot, HeaderRules& rules) {
          const auto list = reader.text_list(node, spot, {});
          if (!list) return;
          for (const ListedText& item : *list) {
            if (check_rule_name(reader, item.text, item.span)) rules.push_back({HeaderOp::remove, item.text, ""});
          }
        },
        [](const HeaderRules& rules) {
          std::vector<std::string> items;
          for (const HeaderRule& rule : rules) {
            if (rule.op == HeaderOp::remove) items.push_back(toml_string(rule.name));
          }
          return items.empty() ? "" : list_text(items);
        });
    declare_value_rules(declare, "set", HeaderOp::set, "Fields to set, replacing what is there.");
    declare_value_rules(declare, "add", HeaderOp::add, "Fields to add to what is there.");
    return made;
  }();
  return section;
}

const Section& websocket_section() {
  static const Section section = [] {
    Section made{.id = "websocket",
                 .header = "[[route]].websocket",
                 .help = "WebSocket tunnels of a route; `true` allows them with the defaults, `false` forbids them."};
    Declare<WebSocketConfig> declare(made);
    declare.duration("idle_timeout", &WebSocketConfig::idle_timeout,
                     {.help = "How long a tunnel may be silent.",
                      .min = 1000,
                      .max = 604'800'000,
                      .word = "none",
                      .example = "\"10m\""});
    declare.duration("max_duration", &WebSocketConfig::max_duration,
                     {.help = "How long a tunnel may live.",
                      .min = 1000,
                      .max = 31'536'000'000,
                      .word = "none",
                      .example = "\"24h\""});
    declare.size("max_message", &WebSocketConfig::max_message,
                 {.help = "Largest message, either way; a larger one ends the tunnel with 1009. Implies `strict`.",
                  .min = 1,
                  .word = "none",
                  .example = "\"1MiB\""});
    declare.boolean(
        "strict", &WebSocketConfig::strict,
        {.help = "Whether invalid framing ends the tunnel with 1002. It is counted anyway.", .example = "true"});
    declare.duration("ping_interval", &WebSocketConfig::ping_interval,
                     {.help = "The proxy pings a client that was silent for so long.",
                      .min = 1000,
                      .max = 86'400'000,
                      .word = "none",
                      .example = "\"30s\""});
    declare.duration("pong_timeout", &WebSocketConfig::pong_timeout,
                     {.help = "A client that says nothing for so long after a ping of the proxy is gone.",
                      .min = 100,
                      .max = 3'600'000,
                      .example = "\"5s\""});
    declare.duration(
        "close_over", &WebSocketConfig::close_over,
        {.help = "Tunnels that have to leave (drain, failover, failback, reload, stop) are closed evenly over "
                 "this window; a stop has no longer one than `server.shutdown_grace`.",
         .max = 3'600'000,
         .example = "\"2m\""});
    declare.key(
        "close_code", Type::integer,
        {.help = "Code of the Close frame that a leaving tunnel gets.", .min = 1000, .max = 4999, .example = "1001"},
        read_close_code, [](const WebSocketConfig& socket) { return std::to_string(socket.close_code); });
    declare.key("close_reason", Type::text,
                {.help = "Text in that Close frame, at most 123 bytes.", .example = "\"moving\"", .unset = "none"},
                read_close_reason, [](const WebSocketConfig& socket) {
                  return socket.close_reason.empty() ? "" : toml_string(socket.close_reason);
                });
    declare.choice("on_endpoint_loss", &WebSocketConfig::on_endpoint_loss, {"close", "resume"},
                   {.help = "`resume`: when its endpoint dies, is drained or another tier takes over, a tunnel is not "
                            "closed but parked, and goes on with another endpoint. Implies `strict`; compression is "
                            "not negotiated.",
                    .example = "\"resume\""});
    declare.duration("park_timeout", &WebSocketConfig::park_timeout,
                     {.help = "How long a parked tunnel looks for another endpoint; then it is closed with 1012.",
                      .min = 100,
                      .max = 3'600'000,
                      .example = "\"1m\""});
    declare.size(
        "park_buffer", &WebSocketConfig::park_buffer,
        {.help = "How much of what its client says a parked tunnel holds; then it is not read any more. As "
                 "much is kept at most of the messages of `replay_first`, and of a message in progress. All "
                 "tunnels together keep at most half of `max_buffer_memory`; a tunnel whose first messages, or whose "
                 "message in progress, find no room there cannot be parked.",
         .min = 1024,
         .max = 16'777'216,
         .example = "\"64KiB\""});
    declare.integer(
        "replay_first", &WebSocketConfig::replay_first,
        {.help = "How many of the client's first messages each next endpoint is told again, before all else: "
                 "those in which it says who it is and what it wants.",
         .max = 1000,
         .example = "1"});
    for (Key& key : made.keys) {
      if (key.name != "park_timeout" && key.name != "park_buffer" && key.name != "replay_first") continue;
      show_only_if(key, made, [](const void* object) {
        return static_cast<const WebSocketConfig*>(object)->on_endpoint_loss == EndpointLoss::resume;
      });
    }
    return made;
  }();
  return section;
}

const Section& route_section() {
  static const Section section = [] {
    Section made{.id = "route",
                 .header = "[[route]]",
                 .help =
                     "What happens to a request. The first route that matches applies, in the order of the "
                     "file. Without any route everything goes to the only pool."};
    Declare<RouteConfig> declare(made);
    declare.key(
        "name", Type::text,
        {.help = "What it is called in logs and metrics.", .example = "\"devices\"", .unset = "route-N"},
        [](Reader& reader, const Node& node, const Spot& spot, RouteConfig& route) {
          const auto name = reader.text(node, spot, {});
          if (name && reader.check_name(*name, node.span, "a route")) route.name = *name;
        },
        [](const RouteConfig& route) { return route.name.empty() ? "" : toml_string(route.name); });
    declare.table(
        "match", &RouteConfig::match, match_section(),
        {.help = "Which requests it applies to.", .example = "{ host = \"example.org\", path = \"/devices/*\" }"});
    declare.text("pool", &RouteConfig::pool, {.help = "Pool that serves them.", .example = "\"app\""});
    Key& redirect = declare.mixed(
        "redirect", R"({"anyOf":[{"type":"string"},{"$ref":"#/definitions/redirect"}]})",
        {.help = "A redirect instead.",
         .example = "\"https://www.example.org{path}\"",
         .shape = "a URL or { to, status }"},
        [](Reader& reader, const Node& node, const Spot& spot, RouteConfig& route) {
          RedirectConfig& made_redirect = route.redirect.emplace();
          if (!node.is(Node::Kind::table)) return read_target(reader, node, spot, made_redirect);
          reader.read_table(redirect_section(), node, &made_redirect, spot.path, spot.where + ".redirect");
        },
        [](const RouteConfig& route) {
          return route.redirect ? inline_table(redirect_section(), &*route.redirect) : "";
        });
    redirect.section = &redirect_section();
    declare.table("respond", &RouteConfig::respond, respond_section(),
                  {.help = "A fixed answer instead.", .example = "{ status = 503, body = \"back soon\\n\" }"});
    declare_prefix(declare, "strip_prefix", &RouteConfig::strip_prefix,
                   "Taken away from the front of the path before it is forwarded.");
    declare_prefix(declare, "add_prefix", &RouteConfig::add_prefix, "Put before the path, after `strip_prefix`.");
    declare.table(
        "request_headers", &RouteConfig::request_headers, header_rules_section(),
        {.help = "Changes to the request.", .example = "{ set = { X-Site = \"a\" }, remove = [\"X-Debug\"] }"});
    declare.table("response_headers", &RouteConfig::response_headers, header_rules_section(),
                  {.help = "Changes to the answer.", .example = "{ remove = [\"Server\"] }"});
    Key& websocket = declare.mixed(
        "websocket", R"({"anyOf":[{"type":"boolean"},{"$ref":"#/definitions/websocket"}]})",
        {.help = "Whether WebSocket tunnels are allowed.",
         .example = "{ idle_timeout = \"10m\" }",
         .shape = "true, false or { idle_timeout, … }"},
        [](Reader& reader, const Node& node, const Spot& spot, RouteConfig& route) {
          if (node.is(Node::Kind::table)) {
            reader.read_table(websocket_section(), node, &route.websocket, spot.path, spot.where + ".websocket");
          } else if (const auto value = reader.boolean(node, spot)) {
            route.websocket.allowed = *value;
          }
        },
        [](const RouteConfig& route) {
          if (!route.websocket.allowed) return std::string("false");
          const std::string table = inline_table(websocket_section(), &route.websocket);
          return table == "{}" ? "true" : table;
        });
    websocket.section = &websocket_section();
    declare.size("max_body_bytes", &RouteConfig::max_body_bytes,
                 {.help = "Largest request body.", .min = 1, .example = "\"100MiB\"", .unset = "the listener's"});
    declare
        .key(
            "encoded_slash", Type::choice,
            {.help = "Whether paths with an encoded slash are let through where they could be read in two ways.",
             .example = "\"allow\""},
            [](Reader& reader, const Node& node, const Spot& spot, RouteConfig& route) {
              if (const auto index = reader.choice(node, spot, {"reject", "allow"}))
                route.allow_encoded_slash = *index == 1;
            },
            [](const RouteConfig& route) { return toml_string(route.allow_encoded_slash ? "allow" : "reject"); })
        .choices = {"reject", "allow"};
    declare.boolean("retry_with_idempotency_key", &RouteConfig::retry_with_idempotency_key,
                    {.help = "Whether requests with an `Idempotency-Key` field may be repeated like idempotent ones.",
                     .example = "true"});
    for (Key& key : made.keys) {
      if (key.name != "websocket" && key.name != "retry_with_idempotency_key") continue;
      show_only_if(key, made, [](const void* object) {
        const auto& route = *static_cast<const RouteConfig*>(object);
        return !route.redirect && !route.respond;
      });
    }
    return made;
  }();
  return section;
}

}  // namespace understudy::config
