// A file that is either the old one or the new one, whenever the machine stops.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "proxy/observe/log.hpp"

namespace understudy::observe {
namespace {

class Descriptor {
public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  // Closes and tells whether that went well: network file systems report lost writes only here.
  bool close() {
    const int fd = fd_;
    fd_ = -1;
    return ::close(fd) == 0;
  }

private:
  int fd_;
};

std::string failure(const std::string& path, std::string_view doing) {
  const int error = errno;
  std::string why = "cannot write " + path + ": " + std::generic_category().message(error) + " (";
  why += doing;
  why += ')';
  if (error == ENOENT || error == ENOTDIR) why += "; the folder must exist";
  if (error == EACCES || error == EPERM || error == EROFS) why += "; this user must be allowed to write in its folder";
  if (error == ENOSPC || error == EDQUOT) why += "; the disk is full";
  return why;
}

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const auto done = ::write(fd, content.data(), content.size());
    if (done < 0 && errno == EINTR) continue;
    if (done == 0) errno = EIO;
    if (done <= 0) return false;
    content.remove_prefix(static_cast<std::size_t>(done));
  }
  return true;
}

// Name in the same folder, different for every call: two writers can't mix.
std::string temporary_of(const std::string& path) {
  static std::atomic<std::uint64_t> calls{0};
  return path + "." + std::to_string(::getpid()) + "." + std::to_string(calls.fetch_add(1, std::memory_order_relaxed)) +
         ".tmp";
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Writes the temporary file through to the disk; "" or why not.
std::string write_temporary(const std::string& path, const std::string& temporary, std::string_view content,
                            unsigned mode) {
  ::unlink(temporary.c_str());  // left by a process that had our number
  Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.get() < 0) return failure(path, "creating the temporary file " + temporary);
  if (::fchmod(file.get(), static_cast<mode_t>(mode)) != 0) return failure(path, "setting its mode");
  if (!write_all(file.get(), content)) return failure(path, "writing the temporary file " + temporary);
  if (::fsync(file.get()) != 0) return failure(path, "fsync of the temporary file " + temporary);
  if (!file.close()) return failure(path, "closing the temporary file " + temporary);
  return {};
}

}  // namespace

std::string write_file_atomically(const std::string& path, std::string_view content, unsigned mode) {
  const std::string temporary = temporary_of(path);
  if (std::string why = write_temporary(path, temporary, content, mode); !why.empty()) {
    ::unlink(temporary.c_str());
    return why;
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    std::string why = failure(path, "renaming " + temporary);
    ::unlink(temporary.c_str());
    return why;
  }
  // The rename itself must survive too. Some file systems can't sync a folder; there is nothing more to do
  // then.
  const std::string folder = folder_of(path);
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) return failure(path, "opening the folder " + folder + " to make the rename durable");
  if (::fsync(directory.get()) != 0 && errno != EINVAL && errno != ENOTSUP) {
    return failure(path, "fsync of the folder " + folder);
  }
  return {};
}

}  // namespace understudy::observe
