#include "proxy/server/web_post.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <array>
#include <cerrno>
#include <cstring>

#include "proxy/probe/link.hpp"

namespace understudy::server {

using probe::IoStep;
using probe::Link;

namespace {
constexpr std::size_t kMostOfAnswer = 64 * 1024;  // until its status is known
}

struct WebPost::Run : std::enable_shared_from_this<Run> {
  Run(boost::asio::io_context& context, WebRequest what, Done then)
      : io(context), request(std::move(what)), done(std::move(then)), timer(context) {}

  enum class Step : std::uint8_t { connect, handshake, send, answer };
  boost::asio::io_context& io;
  WebRequest request;
  Done done;
  boost::asio::steady_timer timer;
  std::vector<config::SocketAddress> addresses;  // still to be tried
  std::unique_ptr<Link> link;
  Step step = Step::connect;
  std::string answer, target;
  bool finished = false;

  void finish(std::string why) {
    if (finished) return;
    finished = true;
    timer.cancel();
    if (link) link->close();
    // Never from inside start(); and whoever is told may destroy us.
    boost::asio::post(io, [self = shared_from_this(), why = std::move(why)] {
      if (const Done told = std::exchange(self->done, nullptr)) told(why);
    });
  }
  void cancel() {
    done = nullptr;
    finish({});
  }

  void begin(probe::Resolver& resolver) {
    target = request.url.authority;
    timer.expires_after(request.timeout);
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->finish(self->target + self->where() + " in time");
    });
    if (const auto numeric = request.url.address.numeric()) {
      addresses = {*numeric};
      return next();
    }
    resolver.resolve(request.url.address.host, [weak = weak_from_this()](const probe::Answer& found) {
      const auto self = weak.lock();
      if (!self || self->finished) return;
      if (found.addresses.empty())
        return self->finish("cannot resolve '" + self->request.url.address.host + "': " + found.error);
      self->addresses = found.addresses;
      for (auto& address : self->addresses) address.port = self->request.url.address.port;
      self->next();
    });
  }

  // For people, what was missing when the time was over.
  std::string where() const {
    if (!link) return " was not resolved";
    switch (step) {
      case Step::connect: return " could not be reached";
      case Step::handshake: return " made no TLS handshake";
      case Step::send:
      case Step::answer: break;
    }
    return " did not answer";
  }

  void next() {
    const config::SocketAddress address = addresses.front();
    addresses.erase(addresses.begin());
    link = std::make_unique<Link>(io);
    step = Step::connect;
    bool own_side = false;
    const int error = link->connect(address, &own_side);
    if (error == EINPROGRESS) return wait(IoStep::Kind::want_write);
    connected(error);
  }

  void connected(int error) {
    if (error != 0) {
      // A name may have an address on which nobody listens, as 'localhost' often has.
      if (!addresses.empty()) return next();
      return finish("cannot connect to " + target + ": " + std::strerror(error));
    }
    if (!request.url.tls) return send();
    if (!request.tls) return finish("there are no TLS settings");
    if (std::string trouble = link->start_tls(*request.tls, request.url.address.host); !trouble.empty())
      return finish(std::move(trouble));
    step = Step::handshake;
    turn();
  }

  void send() {
    std::string head = "POST " + request.url.target + " HTTP/1.1\r\nHost: " + request.url.authority +
                       "\r\nUser-Agent: understudy/" UNDERSTUDY_VERSION
                       "\r\nContent-Type: application/json\r\nAccept-Encoding: identity\r\nConnection: close\r\n";
    for (const auto& [name, value] : request.fields) head += name + ": " + value + "\r\n";
    head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n\r\n";
    link->queue(head + request.body);
    step = Step::send;
    turn();
  }

  void wait(IoStep::Kind kind) {
    const auto what = kind == IoStep::Kind::want_write ? boost::asio::posix::stream_descriptor::wait_write
                                                       : boost::asio::posix::stream_descriptor::wait_read;
    link->descriptor().async_wait(what,
                                  [self = shared_from_this(), asked = link.get()](const boost::system::error_code& e) {
                                    if (self->finished || asked != self->link.get() || e) return;
                                    if (self->step == Step::connect) {
                                      const int error = self->link->connect_result();
                                      if (error == EINPROGRESS) return self->wait(IoStep::Kind::want_write);
                                      return self->connected(error);
                                    }
                                    self->turn();
                                  });
  }

  void fail(const IoStep& at) {
    if (at.kind == IoStep::Kind::tls_error) return finish("TLS with " + target + " failed: " + link->why());
    if (at.kind == IoStep::Kind::eof) return finish(target + " closed the connection without an answer");
    finish(target + " broke the connection: " + std::strerror(at.error));
  }

  // Does what can be done now.
  void turn() {
    while (!finished) {
      IoStep at;
      std::array<char, 4096> block;
      if (step == Step::handshake)
        at = link->handshake();
      else if (step == Step::send)
        at = link->flush();
      else
        at = link->read(block.data(), block.size());
      if (at.kind == IoStep::Kind::want_read || at.kind == IoStep::Kind::want_write) return wait(at.kind);
      if (at.kind != IoStep::Kind::ok) return fail(at);
      if (step == Step::handshake) return send();
      if (step == Step::send) {
        step = Step::answer;
        continue;
      }
      answer.append(block.data(), at.bytes);
      judge();
    }
  }

  // Interim answers (1xx) are passed over.
  void judge() {
    for (;;) {
      const std::size_t line = answer.find("\r\n");
      if (line == std::string::npos) {
        if (answer.size() > kMostOfAnswer) finish(target + " sent no HTTP answer");
        return;
      }
      const bool is_http = line >= 12 && answer.starts_with("HTTP/1.") && answer[8] == ' ';
      int status = 0;
      for (std::size_t i = 9; is_http && i < 12; ++i)
        status = answer[i] >= '0' && answer[i] <= '9' ? status * 10 + (answer[i] - '0') : 0;
      if (status < 100) return finish(target + " sent no HTTP answer");
      if (status >= 200) return finish(status < 300 ? "" : target + " answered " + std::to_string(status));
      const std::size_t end = answer.find("\r\n\r\n");
      if (end == std::string::npos) {
        if (answer.size() > kMostOfAnswer) finish(target + " sent no HTTP answer");
        return;
      }
      answer.erase(0, end + 4);
    }
  }
};

WebPost::WebPost(boost::asio::io_context& io, probe::Resolver& resolver) : io_(io), resolver_(resolver) {}

WebPost::~WebPost() { cancel(); }

void WebPost::start(WebRequest request, Done done) {
  cancel();
  run_ = std::make_shared<Run>(io_, std::move(request), std::move(done));
  run_->begin(resolver_);
}

void WebPost::cancel() {
  if (run_) run_->cancel();
  run_.reset();
}

}  // namespace understudy::server
