#include "proxy/admin/client.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "proxy/http/body.hpp"
#include "proxy/http/h1_parser.hpp"

namespace understudy::admin {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxAnswer = 32 * 1024 * 1024;
constexpr http::HeadLimits kHeadLimits{32 * 1024, 100, 8 * 1024};

class Descriptor {
public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

private:
  int fd_;
};

// "" when the descriptor is ready, else why not.
std::string wait_for(int fd, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return "no answer in time";
    pollfd entry{fd, events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(left));
    if (ready > 0) return "";
    if (ready < 0 && errno != EINTR) return std::strerror(errno);
  }
}

std::string connect_to(const sockaddr* name, socklen_t length, Clock::time_point deadline, Descriptor& out) {
  Descriptor fd(::socket(name->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return std::strerror(errno);
  if (::connect(fd.get(), name, length) != 0) {
    // A full backlog of a Unix socket says EAGAIN and is not waited for by poll.
    if (errno != EINPROGRESS) return std::strerror(errno);
    std::string why = wait_for(fd.get(), POLLOUT, deadline);
    if (!why.empty()) return why;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return std::strerror(error);
  }
  out = std::move(fd);
  return "";
}

std::string connect_unix(const std::string& path, Clock::time_point deadline, Descriptor& out) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof name.sun_path) return "the socket's path is too long";
  std::memcpy(name.sun_path, path.data(), path.size());
  const bool abstract = path.front() == '@';
  if (abstract) name.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  return connect_to(reinterpret_cast<const sockaddr*>(&name), length, deadline, out);
}

std::string connect_tcp(const config::Address& address, std::chrono::milliseconds timeout, Descriptor& out) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string host = address.host.empty() ? "127.0.0.1" : address.host;
  const int result = ::getaddrinfo(host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (result != 0) return ::gai_strerror(result);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  std::string why = "no address";
  for (const addrinfo* one = found; one; one = one->ai_next) {
    why = connect_to(one->ai_addr, one->ai_addrlen, Clock::now() + timeout, out);
    if (why.empty()) break;
  }
  return why;
}

std::string send_all(int fd, std::string_view bytes, Clock::time_point deadline) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    if (errno == EINTR) continue;
    // The daemon may have answered and closed before it took the whole request: the answer tells.
    if (errno == EPIPE || errno == ECONNRESET) return "";
    if (errno != EAGAIN) return std::strerror(errno);
    std::string why = wait_for(fd, POLLOUT, deadline);
    if (!why.empty()) return why;
  }
  return "";
}

enum class More : std::uint8_t { data, end, failed };

More receive(int fd, std::string& input, Clock::time_point deadline, std::string& why) {
  char block[16 * 1024];
  for (;;) {
    const ssize_t n = ::recv(fd, block, sizeof block, 0);
    if (n > 0) return input.append(block, static_cast<std::size_t>(n)), More::data;
    if (n == 0) return More::end;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return why = std::strerror(errno), More::failed;
    why = wait_for(fd, POLLIN, deadline);
    if (!why.empty()) return More::failed;
  }
}

// Reads one final answer (1xx are skipped). "" on success.
std::string read_answer(int fd, http::Method method, Clock::time_point deadline, Answer& answer) {
  std::string input, why;
  const auto head = std::make_unique<http::ResponseHead>();
  for (;;) {
    http::ResponseParser parser;
    http::ParseStatus status = parser.parse(input, kHeadLimits, method, *head);
    while (status == http::ParseStatus::need_more) {
      const More more = receive(fd, input, deadline, why);
      if (more == More::failed) return why;
      if (more == More::end)
        return input.empty() ? "the connection was closed without an answer" : "the answer was cut off";
      status = parser.parse(input, kHeadLimits, method, *head);
    }
    if (status == http::ParseStatus::error)
      return "the answer is no valid HTTP (" + std::string(http::kind_of(parser.error())) + ")";
    if (head->status >= 200) break;
    input.erase(0, head->head_bytes);
  }
  answer.status = head->status;
  answer.content_type = head->fields.value(http::Known::content_type, input.data());
  input.erase(0, head->head_bytes);
  http::BodyDecoder decoder = http::BodyDecoder::make(head->framing, head->content_length, kMaxAnswer);
  for (;;) {
    const http::DecodeResult result = decoder.decode(input.data(), input.size());
    if (result.error != http::ParseError::none) return "the answer's body is not valid or too large";
    answer.body.append(input, 0, result.payload);
    input.erase(0, result.consumed);
    if (result.done || decoder.done()) return "";
    const More more = receive(fd, input, deadline, why);
    if (more == More::failed) return why;
    if (more == More::end) return decoder.finish_at_eof() ? "" : "the answer was cut off";
  }
}

}  // namespace

std::variant<Answer, NotReachable> Client::request(std::string_view method, std::string_view path,
                                                   const std::string& json) {
  const config::Address& address = options_.address;
  const auto not_reachable = [&](const std::string& why) {
    return NotReachable{std::string("no daemon answers at ").append(address.text).append(": ").append(why)};
  };
  Descriptor fd;
  const auto connect_deadline = Clock::now() + options_.connect_timeout;
  std::string why = address.is_unix() ? connect_unix(address.path, connect_deadline, fd)
                                      : connect_tcp(address, options_.connect_timeout, fd);
  if (!why.empty()) return not_reachable(why);

  std::string host = "localhost";
  if (!address.is_unix()) {
    host = address.host.empty() ? "127.0.0.1" : address.host;
    if (host.find(':') != std::string::npos) host = std::string("[").append(host).append("]");
    host.append(":").append(std::to_string(address.port));
  }
  std::string bytes;
  bytes.append(method).append(" ").append(path).append(" HTTP/1.1\r\nHost: ").append(host);
  bytes.append("\r\nConnection: close\r\nAccept: application/json, text/plain\r\nX-Understudy: 1");
  if (!options_.token.empty()) bytes.append("\r\nAuthorization: Bearer ").append(options_.token);
  if (method == "POST") {
    const std::string body = json.empty() ? "{}" : json;
    bytes.append("\r\nContent-Type: application/json\r\nContent-Length: ").append(std::to_string(body.size()));
    bytes.append("\r\n\r\n").append(body);
  } else {
    bytes.append("\r\n\r\n");
  }
  why = send_all(fd.get(), bytes, Clock::now() + options_.connect_timeout);
  Answer answer;
  if (why.empty()) {
    const http::Method kind = method == "HEAD"   ? http::Method::head
                              : method == "POST" ? http::Method::post
                                                 : http::Method::get;
    why = read_answer(fd.get(), kind, Clock::now() + options_.answer_timeout, answer);
  }
  if (!why.empty()) return not_reachable(why);
  return answer;
}

}  // namespace understudy::admin
