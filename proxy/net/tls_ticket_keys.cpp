// Session ticket keys: three of them, so that a rotation neither breaks the tickets in clients' hands nor
// those that a replica which rotated a moment earlier has issued.
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "proxy/net/tls_context.hpp"

namespace understudy::net {
namespace {

using Key = TicketKeys::Data::Key;
enum : std::size_t { kPrevious, kCurrent, kNext };
constexpr std::size_t kSecret = 3 * (16 + 32 + 32);
static_assert(sizeof(TicketKeys::Data::keys) == kSecret);

void fill(Key& key) {
  const auto random = [](auto& bytes) { return RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1; };
  if (!random(key.name) || !random(key.cipher) || !random(key.mac)) {
    throw std::runtime_error("the system gives no random bytes for TLS ticket keys: " +
                             openssl_words("unknown reason"));
  }
}

// Fetched once, for the same reason as sha256().
const EVP_CIPHER* ticket_cipher() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  return cipher;
}

// A copy that wipes itself.
struct BorrowedKey {
  Key key;
  ~BorrowedKey() { OPENSSL_cleanse(&key, sizeof key); }
};

bool prepare_mac(EVP_MAC_CTX* mac, Key& key) {
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

// What OpenSSL wants to hear about an incoming ticket.
enum : int { kFailed = -1, kUnknown = 0, kGood = 1, kGoodRenew = 2 };

}  // namespace

TicketKeys::Data::~Data() { OPENSSL_cleanse(keys.data(), sizeof keys); }

TicketKeys::TicketKeys() : data_(std::make_shared<Data>()) {
  for (Key& key : data_->keys) fill(key);
}

TicketKeys::~TicketKeys() = default;  // Data wipes itself when the last listener has gone

void TicketKeys::rotate() {
  BorrowedKey fresh;
  fill(fresh.key);  // outside the lock; throws before anything has changed
  const std::unique_lock lock(data_->mutex);
  OPENSSL_cleanse(&data_->keys[kPrevious], sizeof(Key));
  data_->keys[kPrevious] = data_->keys[kCurrent];
  data_->keys[kCurrent] = data_->keys[kNext];
  data_->keys[kNext] = fresh.key;
}

std::string TicketKeys::secret() const {
  std::string out;
  out.reserve(kSecret);  // never moved: no copy is left behind
  const std::shared_lock lock(data_->mutex);
  for (const Key& key : data_->keys) {
    const auto add = [&out](const auto& bytes) {
      out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    add(key.name);
    add(key.cipher);
    add(key.mac);
  }
  return out;
}

bool TicketKeys::adopt(std::string_view secret) {
  if (secret.size() != kSecret) return false;
  const std::unique_lock lock(data_->mutex);
  for (Key& key : data_->keys) {
    const auto take = [&secret](auto& bytes) {
      std::memcpy(bytes.data(), secret.data(), bytes.size());
      secret.remove_prefix(bytes.size());
    };
    take(key.name);
    take(key.cipher);
    take(key.mac);
  }
  return true;
}

int on_ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                  int encrypt) {
  const ServerContext* server = server_of(ssl);
  if (server == nullptr || !server->tickets) return encrypt != 0 ? kFailed : kUnknown;
  const TicketKeys::Data& data = *server->tickets;
  BorrowedKey borrowed;
  if (encrypt != 0) {
    {
      const std::shared_lock lock(data.mutex);
      borrowed.key = data.keys[kCurrent];
    }
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(ticket_cipher())) != 1) return kFailed;
    if (EVP_EncryptInit_ex(cipher, ticket_cipher(), nullptr, borrowed.key.cipher.data(), iv) != 1) return kFailed;
    if (!prepare_mac(mac, borrowed.key)) return kFailed;
    std::copy(borrowed.key.name.begin(), borrowed.key.name.end(), name);
    return kGood;
  }
  std::size_t which = kPrevious;
  {
    const std::shared_lock lock(data.mutex);
    const auto same = [name](const Key& key) { return std::memcmp(key.name.data(), name, key.name.size()) == 0; };
    const auto found = std::find_if(data.keys.begin(), data.keys.end(), same);
    if (found == data.keys.end()) return kUnknown;
    which = static_cast<std::size_t>(found - data.keys.begin());
    borrowed.key = *found;
  }
  if (!prepare_mac(mac, borrowed.key)) return kFailed;
  if (EVP_DecryptInit_ex(cipher, ticket_cipher(), nullptr, borrowed.key.cipher.data(), iv) != 1) return kFailed;
  // TLS 1.3 clients use a ticket once, so each resumption brings a new one.
  return which == kPrevious || SSL_version(ssl) == TLS1_3_VERSION ? kGoodRenew : kGood;
}

}  // namespace understudy::net
