// A DNS server for tests: UDP and TCP on one loopback port, on the test's own io_context, answering from a
// table.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/probe/loopback.hpp"

namespace understudy::probe::test {

class FakeDns {
public:
  using Udp = asio::ip::udp;
  struct Name {
    std::vector<std::string> v4{};  // four raw bytes each
    std::vector<std::string> v6{};  // sixteen
    std::uint32_t ttl = 60;
    std::string alias{};  // CNAME to this name, with alias_ttl
    std::uint32_t alias_ttl = 60;
    int code = 0;                 // RCODE: 2 SERVFAIL, 3 NXDOMAIN
    bool silent = false;          // no answer at all
    bool silent_v6 = false;       // AAAA gets no answer
    bool wrong_id_first = false;  // a forged answer (other id, other address) precedes the true one
    bool only_wrong_id = false;
  };

  explicit FakeDns(asio::io_context& io) : udp_(io) {
    // The same port has to be free for both protocols.
    for (int tries = 0; !tcp_ && tries < 100; ++tries) {
      udp_ = Udp::socket(io, {asio::ip::address_v4::loopback(), 0});
      const Tcp::endpoint same(asio::ip::address_v4::loopback(), udp_.local_endpoint().port());
      try {
        tcp_ = std::make_unique<BasicOrigin<Tcp>>(io, same, [this](TcpPeer peer) { serve_tcp(peer); });
      } catch (const boost::system::system_error&) {
        continue;
      }
    }
    if (!tcp_) throw std::runtime_error("no port is free for UDP and TCP");
    receive();
  }
  ~FakeDns() {
    boost::system::error_code ignored;
    udp_.close(ignored);
  }

  config::DnsConfig settings() const {
    config::DnsConfig dns;
    config::Address server;
    server.host = "127.0.0.1";
    server.port = udp_.local_endpoint().port();
    server.text = "127.0.0.1:" + std::to_string(server.port);
    dns.servers = {server};
    dns.timeout = milliseconds(10'000);
    return dns;
  }

  std::map<std::string, Name> names;
  std::map<std::string, int> asked;  // questions by name, A and AAAA each
  int over_tcp = 0;

private:
  static std::string u16(std::size_t v) { return {static_cast<char>(v >> 8), static_cast<char>(v)}; }
  static std::string u32(std::uint32_t v) { return u16(v >> 16) + u16(v & 0xffff); }
  static std::string encode(const std::string& name) {
    std::string out;
    for (std::size_t from = 0; from < name.size();) {
      const auto dot = std::min(name.find('.', from), name.size());
      out += static_cast<char>(dot - from);
      out.append(name, from, dot - from);
      from = dot + 1;
    }
    return out += '\0';
  }
  // One record for the name at `offset` of the message (a compression pointer).
  static std::string record(std::size_t offset, int type, std::uint32_t ttl, const std::string& data) {
    return u16(0xc000 | offset) + u16(static_cast<std::size_t>(type)) + u16(1) + u32(ttl) + u16(data.size()) + data;
  }

  struct Question {
    std::string id, name, wire;
    int type = 0;
  };
  static bool parse(const std::string& message, Question& out) {
    if (message.size() < 17) return false;
    out.id = message.substr(0, 2);
    std::size_t at = 12;
    while (at < message.size() && message[at] != 0) {
      const auto length = static_cast<std::size_t>(message[at]);
      if (!out.name.empty()) out.name += '.';
      out.name += message.substr(at + 1, length);
      at += length + 1;
    }
    if (at + 5 > message.size()) return false;
    out.type = static_cast<unsigned char>(message[at + 2]);
    out.wire = message.substr(12, at + 5 - 12);
    return true;
  }

  // Empty: stay silent. `limit` truncates as a UDP server must.
  std::string reply(const Question& q, std::size_t limit) const {
    const auto found = names.find(q.name);
    Name name;
    if (found != names.end())
      name = found->second;
    else
      name.code = 3;
    if (name.silent || (name.silent_v6 && q.type == 28)) return {};
    std::string records;
    std::size_t count = 0, owner = 12;
    if (name.code == 0 && !name.alias.empty()) {
      records += record(owner, 5, name.alias_ttl, encode(name.alias));
      owner = 12 + q.wire.size() + 12;  // the alias stands in that record's data
      ++count;
    }
    if (name.code == 0)
      for (const auto& ip : q.type == 28 ? name.v6 : name.v4) {
        records += record(owner, q.type, name.ttl, ip);
        ++count;
      }
    const bool cut = 12 + q.wire.size() + records.size() > limit;
    const std::size_t flags = 0x8180 | (cut ? 0x0200u : 0u) | static_cast<std::size_t>(name.code);
    return q.id + u16(flags) + u16(1) + u16(cut ? 0 : count) + u16(0) + u16(0) + q.wire + (cut ? "" : records);
  }

  void receive() {
    buffer_.resize(2048);
    udp_.async_receive_from(asio::buffer(buffer_), from_, [this](const boost::system::error_code& ec, std::size_t n) {
      if (ec) return;
      answer_udp(buffer_.substr(0, n));
      receive();
    });
  }
  void answer_udp(const std::string& message) {
    Question q;
    if (!parse(message, q)) return;
    ++asked[q.name];
    const auto found = names.find(q.name);
    if (found != names.end() && (found->second.wrong_id_first || found->second.only_wrong_id)) {
      Question forged = q;
      forged.id[0] = static_cast<char>(~forged.id[0]);
      FakeDns::send(reply(forged, 512), found->second.wrong_id_first ? 66 : 0);
      if (found->second.only_wrong_id) return;
    }
    send(reply(q, 512), 0);
  }
  // `last_byte` replaces the end of the last address, to tell a forged answer from the true one.
  void send(std::string message, char last_byte) {
    if (message.empty()) return;
    if (last_byte != 0) message.back() = last_byte;
    udp_.send_to(asio::buffer(message), from_);
  }
  void serve_tcp(const TcpPeer& peer) {
    peer->read_more(2, [this, peer] {
      while (peer->request.size() >= 2) {
        const std::size_t size =
            static_cast<unsigned char>(peer->request[0]) * 256u + static_cast<unsigned char>(peer->request[1]);
        if (peer->request.size() < 2 + size) break;
        Question q;
        if (parse(peer->request.substr(2, size), q)) {
          ++over_tcp;
          const std::string message = reply(q, 65'535);
          if (!message.empty()) peer->send(u16(message.size()) + message);
        }
        peer->request.erase(0, 2 + size);
      }
      if (peer->socket.is_open() && peer->sent < (1u << 20)) again(peer);
    });
  }
  void again(const TcpPeer& peer) {
    peer->socket.async_wait(Tcp::socket::wait_read, [this, peer](const boost::system::error_code& ec) {
      if (ec) return;
      boost::system::error_code gone;
      if (peer->socket.available(gone) == 0 || gone) return peer->close();
      serve_tcp(peer);
    });
  }

  Udp::socket udp_;
  Udp::endpoint from_;
  std::string buffer_;
  std::unique_ptr<BasicOrigin<Tcp>> tcp_;
};

inline std::string v4(int a, int b, int c, int d) {
  return {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c), static_cast<char>(d)};
}
inline std::string v6(int last) {
  return std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + static_cast<char>(last);
}

}  // namespace understudy::probe::test
