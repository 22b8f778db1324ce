// The keys of a synthetic request: [[pool.NAME.fitness]].
#include <algorithm>
#include <array>

#include "config/declare.hpp"

namespace understudy::config {
namespace {

constexpr double second = 1000;
constexpr double hour = 3600 * second;
constexpr double day = 24 * hour;
constexpr std::size_t most_requests = 16;
constexpr std::size_t most_headers = 32;
constexpr std::size_t longest_body = 64 * 1024;
constexpr std::size_t longest_name = 100;

bool is_safe(std::string_view method) { return method == "GET" || method == "HEAD" || method == "OPTIONS"; }

// What a request is called that was given no name.
std::string usual_name(const FitnessConfig& request) {
  return request.path.empty() ? "" : (request.websocket ? "WebSocket" : request.method) + " " + request.path;
}

void read_name(Reader& reader, const Node& node, const Spot& spot, FitnessConfig& request) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  if (text->front() == ' ' || text->back() == ' ') {
    reader.error(node.span, "'name' starts or ends with a space", "leave it out");
  } else if (code_points(*text) > longest_name) {
    reader.error(node.span, "'name' is longer than " + std::to_string(longest_name) + " characters");
  } else {
    request.name = *text;
  }
}

void read_method(Reader& reader, const Node& node, const Spot& spot, FitnessConfig& request) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  const bool upper = std::none_of(text->begin(), text->end(), [](char c) { return c >= 'a' && c <= 'z'; });
  if (!is_token(*text) || !upper) {
    return reader.error(node.span, "'method'" + Reader::quoted(node) + " is not a method",
                        "write \"GET\"; methods are in capitals");
  }
  if (*text == "CONNECT" || *text == "TRACE")
    return reader.error(node.span, "'method' can't be " + *text, "write \"GET\"");
  request.method = *text;
}

void read_path(Reader& reader, const Node& node, const Spot& spot, FitnessConfig& request) {
  const auto path = reader.text(node, spot, {});
  if (!path) return;
  if (path->front() != '/' || path->find_first_of(" #\"<>\\^`{|}") != std::string::npos) {
    return reader.error(node.span, "'path' must start with '/', without spaces, '#' or characters that URLs can't have",
                        "write \"/orders/1?deep=yes\"");
  }
  request.path = *path;
}

// Fields that frame the request, or that have a key of their own.
bool is_ours(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  constexpr std::array<std::string_view, 9> ours{
      "host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer", "keep-alive"};
  return std::find(ours.begin(), ours.end(), name) != ours.end() || name.substr(0, 14) == "sec-websocket-";
}

void read_headers(Reader& reader, const Node& node, const Spot& spot, FitnessConfig& request) {
  const auto map = reader.text_map(node, spot);
  if (!map) return;
  if (map->size() > most_headers)
    return reader.error(node.span, "'headers' has more than " + std::to_string(most_headers) + " fields");
  request.headers.clear();
  for (const NamedText& entry : *map) {
    if (!is_token(entry.name)) {
      reader.error(entry.span, "'" + printable(entry.name) + "' is not the name of a header field");
    } else if (is_ours(entry.name)) {
      reader.error(entry.span, "'" + printable(entry.name) + "' is made by the proxy itself",
                   entry.name.size() == 4 ? "the key 'host' sets it" : "leave it out");
    } else {
      request.headers.emplace_back(entry.name, entry.value);
    }
  }
}

std::string headers_text(const FitnessConfig& request) {
  if (request.headers.empty()) return "";
  std::string out = "{ ";
  for (const auto& [name, value] : request.headers)
    out += (out.size() > 2 ? ", " : "") + toml_string(name) + " = " + toml_string(value);
  return out + " }";
}

void read_body(Reader& reader, const Node& node, const Spot& spot, FitnessConfig& request) {
  const auto text = reader.text(node, spot, {.help = "", .allow_empty = true});
  if (!text) return;
  if (text->size() > longest_body) return reader.error(node.span, "'body' is longer than 64 KiB");
  request.body = *text;
}

void read_json(Reader& reader, const Node& node, const Spot& spot, CompareConfig& compare) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  bool good = text->front() == '/';
  for (std::size_t at = text->find('~'); good && at != std::string::npos; at = text->find('~', at + 1))
    good = at + 1 < text->size() && ((*text)[at + 1] == '0' || (*text)[at + 1] == '1');
  if (!good) {
    return reader.error(node.span, "'json'" + Reader::quoted(node) + " is no JSON pointer",
                        "write \"/data/version\"; '~' is written ~0, a '/' within a name ~1");
  }
  compare.json = *text;
}

void read_header(Reader& reader, const Node& node, const Spot& spot, CompareConfig& compare) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  if (!is_token(*text)) return reader.error(node.span, "'" + printable(*text) + "' is not the name of a header field");
  compare.header = *text;
}

void read_compare(Reader& reader, const Node& node, const Spot& spot, FitnessConfig& request) {
  if (!node.is(Node::Kind::table))
    return reader.wrong_type(node, spot, "a table", "write compare = { header = \"X-Data-Version\" }");
  const std::string where = spot.where + ".compare";
  reader.read_table(compare_section(), node, &request.compare, spot.path, where);
  const bool header = node.find("header") != nullptr, json = node.find("json") != nullptr;
  if (header && json) {
    reader.error(node.span, "'header' and 'json' of " + where + " exclude each other", "keep one of them");
  } else if (!header && !json) {
    reader.error(node.span, where + " needs 'header' or 'json'", "write { header = \"X-Data-Version\" }");
  }
}

// What contradicts itself within one request.
void settle(Reader& reader, const Node& item, FitnessConfig& request) {
  const auto idle = [&](const char* key, const std::string& why, const std::string& hint = "") {
    if (const Member* member = item.find(key))
      reader.error(member->span, "'" + std::string(key) + "' does nothing " + why, hint);
  };
  if (request.websocket) {
    for (const char* key : {"method", "unsafe", "body", "expect", "expect_body", "compare"})
      idle(key, "with websocket = true");
    request.method = "GET";
    request.compare = {};
  } else if (is_safe(request.method)) {
    idle("unsafe", "with method " + request.method);
    idle("body", "with method " + request.method, "write method = \"POST\" and unsafe = true");
    if (request.method == "HEAD") idle("expect_body", "with method HEAD");
    if (request.method == "HEAD" && !request.compare.json.empty())
      reader.error(item.find("compare")->span, "an answer to HEAD has no body for 'json'", "write method = \"GET\"");
  } else if (!request.is_unsafe) {
    reader.error(item.find("method")->span,
                 "a synthetic " + request.method + " is sent to every endpoint of every tier, again and again",
                 "use GET, HEAD or OPTIONS; or add unsafe = true if it does no harm however often it is done");
  }
  if (request.max_latency && *request.max_latency > request.timeout && item.find("max_latency") != nullptr) {
    reader.error(item.find("max_latency")->value.span, "'max_latency' is above 'timeout'",
                 "so late an answer is not waited for");
  }
  if (item.find("timeout") == nullptr) {
    request.timeout = std::min(request.timeout, request.interval);
  } else if (request.timeout > request.interval) {
    reader.warning(item.find("timeout")->value.span, "'timeout' is longer than 'interval'",
                   "requests to one endpoint never overlap, so they come later than 'interval' says");
  }
  if (request.name.empty()) request.name = usual_name(request);
}

void read_fitness(Reader& reader, const Node& node, const Spot& spot, PoolConfig& pool) {
  if (!node.is(Node::Kind::array)) {
    return reader.wrong_type(node, spot, "an array of requests",
                             "write [[pool.NAME.fitness]], or fitness = [{ path = \"/orders/1\" }]");
  }
  if (node.items.size() > most_requests)
    return reader.error(node.span, "'fitness' has more than " + std::to_string(most_requests) + " items");
  pool.fitness.clear();
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    const std::string path = spot.path + "[" + std::to_string(i) + "]";
    reader.note_item(path, item);
    FitnessConfig request;
    if (item.is(Node::Kind::table)) {
      const std::string where = "[" + spot.where.substr(0, spot.where.size() - 1) + ".fitness]]";
      reader.read_table(fitness_section(), item, &request, path, where);
      settle(reader, item, request);
    } else {
      reader.wrong_item(item, spot, "{ path, expect, … } tables");
    }
    pool.fitness.push_back(std::move(request));
  }
}

std::string fitness_text(const PoolConfig& pool) {
  std::vector<std::string> items;
  for (const FitnessConfig& request : pool.fitness) items.push_back(inline_table(fitness_section(), &request));
  return list_text(items);
}

void declare_request(Declare<FitnessConfig>& declare) {
  declare.key("path", Type::text,
              {.help = "Path and query to ask for.", .example = "\"/orders/1?deep=yes\"", .required = true}, read_path,
              [](const FitnessConfig& request) { return request.path.empty() ? "" : toml_string(request.path); });
  declare.boolean("websocket", &FitnessConfig::websocket,
                  {.help = "Open a WebSocket on `path` instead.", .example = "true"});
  declare.key("method", Type::text, {.help = "Method of the request.", .example = "\"HEAD\""}, read_method,
              [](const FitnessConfig& request) { return toml_string(request.method); });
  declare.boolean("unsafe", &FitnessConfig::is_unsafe,
                  {.help = "Allows a `method` that may change something (law 2). You vouch that doing it at every "
                           "endpoint, again and again, does no harm.",
                   .example = "true"});
  declare.text("host", &FitnessConfig::host,
               {.help = "Host field.", .example = "\"app.example.org\"", .unset = "the endpoint's address"});
  declare.key("headers", Type::text_map,
              {.help = "More header fields.", .example = "{ Authorization = \"Bearer probe\" }"}, read_headers,
              headers_text);
  declare.key("body", Type::text, {.help = "Body of the request.", .example = "\"{\\\"dry_run\\\":true}\""}, read_body,
              [](const FitnessConfig& request) { return request.body.empty() ? "" : toml_string(request.body); });
}

void declare_expectations(Declare<FitnessConfig>& declare) {
  declare.mixed(
      "expect", statuses_schema,
      {.help = "Status codes that count as good.", .example = "\"200,404\"", .shape = "status codes and ranges"},
      [](Reader& reader, const Node& node, const Spot& spot, FitnessConfig& request) {
        read_statuses(reader, node, spot, request.expect);
      },
      [](const FitnessConfig& request) { return statuses_text(request.expect); });
  declare.text("expect_body", &FitnessConfig::expect_body,
               {.help = "Text that the answer's body must contain, within its first 64 KiB.",
                .example = "\"\\\"id\\\":1\"",
                .unset = "any"});
  declare.duration("max_latency", &FitnessConfig::max_latency,
                   {.help = "Longest time from the beginning of the connection to what is expected of the answer.",
                    .min = 1,
                    .max = hour,
                    .word = "none",
                    .example = "\"500ms\""});
  declare.duration("interval", &FitnessConfig::interval,
                   {.help = "Time between two of these requests at an endpoint, more or less a tenth of it.",
                    .min = 100,
                    .max = day,
                    .example = "\"5s\""});
  declare.duration("timeout", &FitnessConfig::timeout,
                   {.help = "After this the request is given up. At most `interval` by default.",
                    .min = 10,
                    .max = hour,
                    .example = "\"1s\""});
  declare.integer("rise", &FitnessConfig::rise,
                  {.help = "Good answers in a row that make an unfit endpoint fit again; the first one ever needs no "
                           "second.",
                   .min = 1,
                   .max = 100,
                   .example = "3"});
  declare.integer(
      "fall", &FitnessConfig::fall,
      {.help = "Bad answers in a row that make it unfit. After a bad one it is asked again within a second.",
       .min = 1,
       .max = 100,
       .example = "1"});
}

}  // namespace

const Section& compare_section() {
  static const Section section = [] {
    Section made{.id = "compare",
                 .header = "[[pool.NAME.fitness]].compare",
                 .help =
                     "A value of the answer, compared with what the serving tier answers: exactly one of `header` and "
                     "`json`. Numbers are ordered, the higher one is newer; anything else is either the same or not."};
    Declare<CompareConfig> declare(made);
    declare.key("header", Type::text, {.help = "Header field with the value.", .example = "\"X-Data-Version\""},
                read_header, [](const CompareConfig& c) { return c.header.empty() ? "" : toml_string(c.header); });
    declare.key("json", Type::text,
                {.help = "JSON pointer to the value in the answer's body, of which 64 KiB are read.",
                 .example = "\"/data/version\""},
                read_json, [](const CompareConfig& c) { return c.json.empty() ? "" : toml_string(c.json); });
    declare.duration("max_lag", &CompareConfig::max_lag,
                     {.help = "How far behind the serving tier an endpoint may be before it is stale. It is seen to "
                              "the `interval` exactly.",
                      .max = 7 * day,
                      .example = "\"30s\""});
    return made;
  }();
  return section;
}

const Section& fitness_section() {
  static const Section section = [] {
    Section made{.id = "fitness",
                 .header = "[[pool.NAME.fitness]]",
                 .help =
                     "A synthetic request that proves an endpoint fit to serve, whatever its health page says. It is "
                     "sent to every endpoint of every tier. An unfit standby is told about while the primary is well, "
                     "and failover prefers tiers that are fit."};
    Declare<FitnessConfig> declare(made);
    declare.key("name", Type::text,
                {.help = "What it is called in status, events and metrics.",
                 .example = "\"read an order\"",
                 .unset = "method and path"},
                read_name, [](const FitnessConfig& request) {
                  return request.name == usual_name(request) ? "" : toml_string(request.name);
                });
    declare_request(declare);
    declare_expectations(declare);
    Key& compare = declare.mixed("compare", R"({"$ref":"#/definitions/compare"})",
                                 {.help = "Is the data as new as that of the serving tier?",
                                  .example = "{ header = \"X-Data-Version\", max_lag = \"30s\" }",
                                  .unset = "not asked",
                                  .shape = "table"},
                                 read_compare, [](const FitnessConfig& request) {
                                   return request.compare.given() ? inline_table(compare_section(), &request.compare)
                                                                  : std::string();
                                 });
    compare.section = &compare_section();
    return made;
  }();
  return section;
}

void declare_fitness(Section& section) {
  Declare<PoolConfig> declare(section);
  Key& fitness =
      declare.mixed("fitness", R"({"type":"array","items":{"$ref":"#/definitions/fitness"}})",
                    {.help = "Synthetic requests that prove endpoints fit, also written as `[[pool.NAME.fitness]]`.",
                     .example = "[{ path = \"/orders/1\", max_latency = \"500ms\" }]",
                     .shape = "array of requests"},
                    read_fitness, fitness_text);
  fitness.section = &fitness_section();
}

}  // namespace understudy::config
