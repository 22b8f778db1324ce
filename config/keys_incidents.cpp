// The keys of [incidents] and [alerts.NAME].
#include "config/declare.hpp"

namespace understudy::config {
namespace {

constexpr double mib = 1024 * 1024;
constexpr double second = 1000;
constexpr double hour = 3600 * second;

void read_url(Reader& reader, const Node& node, const Spot& spot, AlertConfig& alert) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  std::string problem;
  if (parse_web_url(*text, &problem)) {
    alert.url = *text;
    return;
  }
  const std::size_t remedy = problem.find("; ");
  reader.error(node.span, "'url'" + Reader::quoted(node) + " " + problem.substr(0, remedy),
               remedy == std::string::npos ? "" : problem.substr(remedy + 2));
}

// What a shown configuration has in its place is none, and is taken where that is read again.
void read_secret(Reader& reader, const Node& node, const Spot& spot, AlertConfig& alert) {
  const auto text = reader.text(node, spot, {});
  if (!text) return;
  constexpr std::size_t shortest = 16;
  if (text->size() < shortest && *text != "***") {
    return reader.error(node.span, "'secret' is shorter than " + std::to_string(shortest) + " bytes",
                        "make one with: openssl rand -base64 32");
  }
  alert.secret = Secret{*text};
}

}  // namespace

const Section& incidents_section() {
  static const Section section = [] {
    Section made{.id = "incidents",
                 .header = "[incidents]",
                 .help = "What is written down about outages, as files in `incidents` of `state_dir`."};
    Declare<IncidentsConfig> declare(made);
    declare.duration("settle", &IncidentsConfig::settle,
                     {.help = "A pool that is well for so long closes its incident; trouble before that joins it.",
                      .min = second,
                      .max = 24 * hour,
                      .example = "\"15m\""});
    declare.integer(
        "keep", &IncidentsConfig::keep,
        {.help = "Incidents that are kept; the oldest closed ones go.", .min = 1, .max = 10000, .example = "50"});
    declare.size("max_bytes", &IncidentsConfig::max_bytes,
                 {.help = "Room for all of them together; the oldest closed ones go.",
                  .min = mib,
                  .max = 1024 * mib,
                  .example = "\"16MiB\""});
    return made;
  }();
  return section;
}

const Section& alert_section() {
  static const Section section = [] {
    Section made{.id = "alert",
                 .header = "[alerts.NAME]",
                 .help = "Who is told of incidents: each message is a POST of JSON, signed as Standard Webhooks says."};
    Declare<AlertConfig> declare(made);
    declare.key("url", Type::text,
                {.help = "Where messages go, `https` or `http`. Redirects are not followed.",
                 .example = "\"https://alerts.example.org/hooks/understudy\"",
                 .required = true},
                read_url, [](const AlertConfig& alert) { return alert.url.empty() ? "" : toml_string(alert.url); });
    declare.key("secret", Type::secret,
                {.help = "Signs each message (HMAC-SHA256). `whsec_` and base64, or any text of 16 bytes or more.",
                 .example = "\"${file:alert.secret}\"",
                 .unset = "messages are not signed"},
                read_secret, [](const AlertConfig& alert) { return alert.secret ? toml_string("***") : ""; });
    declare.path("ca", &AlertConfig::ca,
                 {.help = "PEM file with the authorities that sign the certificate of an `https` URL.",
                  .example = "\"ca.pem\"",
                  .unset = "the system's"});
    declare.duration(
        "timeout", &AlertConfig::timeout,
        {.help = "Longest attempt to deliver a message.", .min = 100, .max = 60 * second, .example = "\"3s\""});
    declare.duration("give_up_after", &AlertConfig::give_up_after,
                     {.help = "A message that could not be delivered for so long is dropped.",
                      .min = second,
                      .max = 24 * hour,
                      .example = "\"10m\""});
    declare.boolean(
        "minor", &AlertConfig::minor,
        {.help = "Whether it is told of minor incidents too: an endpoint is out, its tier serves.", .example = "true"});
    return made;
  }();
  return section;
}

}  // namespace understudy::config
