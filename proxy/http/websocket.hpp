// Checks of the WebSocket opening handshake that the parsers need. Internal to proxy/http; RFC 6455 §4.
#pragma once

#include <string_view>

namespace understudy::http {

// Exactly 24 base64 characters that decode to 16 bytes (no stray bits in the last one).
bool valid_websocket_key(std::string_view key);

}  // namespace understudy::http
