// The generic webhook: a POST of the message as it is, signed as Standard Webhooks says. And the one place where kinds of sinks
// are made.
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "proxy/server/alerts.hpp"
#include "proxy/server/web_post.hpp"

namespace understudy::server {

namespace {

std::string base64(const unsigned char* bytes, std::size_t size) {
  std::string text(4 * ((size + 2) / 3) + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes, static_cast<int>(size));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

// "whsec_" and base64, as the receivers' libraries hand secrets out; anything else is taken as it is.
std::string key_of(const std::string& secret) {
  constexpr std::string_view prefix = "whsec_";
  if (!secret.starts_with(prefix)) return secret;
  const std::string coded = secret.substr(prefix.size());
  std::string key(coded.size() + 3, '\0');
  const int length =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(key.data()),
                      reinterpret_cast<const unsigned char*>(coded.data()), static_cast<int>(coded.size()));
  if (length < 0) return secret;
  std::size_t padding = 0;
  while (padding < 2 && padding < coded.size() && coded[coded.size() - 1 - padding] == '=') ++padding;
  key.resize(static_cast<std::size_t>(length) - padding);
  return key;
}

class Webhook final : public AlertSink {
public:
  Webhook(boost::asio::io_context& io, probe::Resolver& resolver, const config::AlertConfig& config,
          std::shared_ptr<const probe::TlsSettings> tls)
      : config_(config), tls_(std::move(tls)), post_(io, resolver) {}

  void deliver(const AlertMessage& message, incident::Wall now, Done done) override {
    WebRequest request;
    std::string problem;
    // What the configuration was checked for.
    request.url = config::parse_web_url(config_.url, &problem).value();
    request.tls = tls_;
    request.timeout = config_.timeout;
    request.body = message.body;
    const std::string seconds =
        std::to_string(std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count());
    request.fields = {{"webhook-id", message.id}, {"webhook-timestamp", seconds}};
    if (config_.secret) request.fields.emplace_back("webhook-signature", sign(message, seconds));
    post_.start(std::move(request), std::move(done));
  }
  void cancel() override { post_.cancel(); }

private:
  std::string sign(const AlertMessage& message, const std::string& seconds) const {
    std::string key = key_of(config_.secret->value);
    const std::string text = message.id + "." + seconds + "." + message.body;
    std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
    unsigned length = 0;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
         text.size(), sum.data(), &length);
    OPENSSL_cleanse(key.data(), key.size());
    return "v1," + base64(sum.data(), length);
  }

  config::AlertConfig config_;
  std::shared_ptr<const probe::TlsSettings> tls_;
  WebPost post_;
};

}  // namespace

std::shared_ptr<const probe::TlsSettings> tls_of(const config::AlertConfig& alert) {
  if (!alert.url.starts_with("https:")) return nullptr;
  config::UpstreamTls tls;
  tls.ca = alert.ca;
  return std::make_shared<const probe::TlsSettings>(tls);
}

std::unique_ptr<AlertSink> make_sink(boost::asio::io_context& io, probe::Resolver& resolver,
                                     const PreparedAlert& alert) {
  return std::make_unique<Webhook>(io, resolver, alert.config, alert.tls);
}

}  // namespace understudy::server
