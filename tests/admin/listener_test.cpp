#include "proxy/admin/listener.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/admin/running_server.hpp"

namespace understudy::admin {
namespace {

TEST(AdminListener, AUnixSocketHasMode0660WhateverTheUmask) {
  TemporaryFolder folder;
  for (const mode_t mask : {0000U, 0022U, 0177U}) {
    const mode_t before = ::umask(mask);
    const Opened opened = open_listener(unix_address(folder.file("admin.sock")));
    ::umask(before);
    ASSERT_GE(opened.fd, 0) << opened.error;
    struct stat found {};
    ASSERT_EQ(::stat(folder.file("admin.sock").c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 07777, 0660U);
    ::close(opened.fd);  // leaves the file: the next round finds a stale one
  }
}

TEST(AdminListener, ASocketThatAnswersIsNotTakenAway) {
  TemporaryFolder folder;
  const config::Address address = unix_address(folder.file("admin.sock"));
  const Opened first = open_listener(address);
  ASSERT_GE(first.fd, 0) << first.error;
  const Opened second = open_listener(address);
  EXPECT_EQ(second.fd, -1);
  EXPECT_NE(second.error.find("in use by a running process"), std::string::npos) << second.error;
  EXPECT_NO_THROW(RawClient{address}) << "the first still answers";
  ::close(first.fd);
}

TEST(AdminListener, OtherFilesAreNeverRemoved) {
  TemporaryFolder folder;
  const std::string path = folder.file("precious");
  std::ofstream(path) << "data";
  const Opened opened = open_listener(unix_address(path));
  EXPECT_EQ(opened.fd, -1);
  EXPECT_NE(opened.error.find("is no socket"), std::string::npos) << opened.error;
  EXPECT_EQ(std::filesystem::file_size(path), 4U);
  const Opened link = [&] {
    std::filesystem::create_symlink(path, folder.file("link"));
    return open_listener(unix_address(folder.file("link")));
  }();
  EXPECT_EQ(link.fd, -1);
  EXPECT_TRUE(std::filesystem::is_symlink(folder.file("link")));
}

TEST(AdminListener, ErrorsNameThePlace) {
  TemporaryFolder folder;
  const Opened missing = open_listener(unix_address(folder.file("none/admin.sock")));
  EXPECT_NE(missing.error.find("none/admin.sock"), std::string::npos) << missing.error;
  EXPECT_NE(missing.error.find("make its folder writable, or choose another place"), std::string::npos)
      << missing.error;
  const Opened too_long = open_listener(unix_address("/" + std::string(200, 'x')));
  EXPECT_NE(too_long.error.find("must be shorter"), std::string::npos) << too_long.error;
  const Opened any = open_listener(tcp_address("", 0));
  EXPECT_NE(any.error.find("every address"), std::string::npos) << any.error;
  const Opened name = open_listener(tcp_address("admin.example.org", 0));
  EXPECT_NE(name.error.find("must be an IP address"), std::string::npos) << name.error;
  for (const Opened& opened : {missing, too_long, any, name}) EXPECT_EQ(opened.fd, -1);
}

TEST(AdminListener, ATakenPortIsAnError) {
  const Opened first = open_listener(tcp_address("127.0.0.1", 0));
  ASSERT_GE(first.fd, 0) << first.error;
  sockaddr_in name{};
  socklen_t length = sizeof name;
  ::getsockname(first.fd, reinterpret_cast<sockaddr*>(&name), &length);
  const Opened second = open_listener(tcp_address("127.0.0.1", ntohs(name.sin_port)));
  EXPECT_EQ(second.fd, -1);
  EXPECT_NE(second.error.find("cannot bind the admin address 127.0.0.1:"), std::string::npos) << second.error;
  EXPECT_NE(second.error.find("choose another port"), std::string::npos) << second.error;
  ::close(first.fd);
}

}  // namespace
}  // namespace understudy::admin
