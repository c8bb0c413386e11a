// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/config/secret_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

namespace sotto::signaling {
namespace {

constexpr size_t kMaxSecretFile = 64 * 1024;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status Failed(const std::string& path, std::string_view what) {
  return absl::ErrnoToStatus(errno, fmt::format("{} can't be {}", path, what));
}

absl::StatusOr<std::string> ReadAll(int fd, const std::string& path) {
  struct stat st = {};
  if (fstat(fd, &st) != 0) return Failed(path, "read");
  if (!S_ISREG(st.st_mode)) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not a regular file; remove it, and the server will create one.", path));
  }
  if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{} is a secret that other users can read; run chmod 600 {}.", path, path));
  }
  std::string text(kMaxSecretFile, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed(path, "read");
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  return text;
}

// All of it or nothing, durably: written beside it, then linked to its name.
absl::Status WriteNew(const std::string& path, const std::string& content) {
  const std::string temporary = fmt::format("{}.{}.new", path, getpid());
  const Descriptor file(
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.get() < 0) return Failed(path, "made");
  size_t written = 0;
  bool ok = true;
  while (ok && written < content.size()) {
    const ssize_t put = write(file.get(), content.data() + written, content.size() - written);
    if (put < 0 && errno == EINTR) continue;
    ok = put >= 0;
    if (ok) written += static_cast<size_t>(put);
  }
  ok = ok && fsync(file.get()) == 0 && link(temporary.c_str(), path.c_str()) == 0;
  const int error = errno;
  unlink(temporary.c_str());
  if (ok) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    const Descriptor parent(
        open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ok = parent.get() >= 0 && fsync(parent.get()) == 0;
    return ok ? absl::OkStatus() : Failed(path, "made durable");
  }
  errno = error;
  return Failed(path, "made");
}

}  // namespace

absl::StatusOr<std::string> LoadOrMakeSecretFile(
    const std::string& path, const std::function<absl::StatusOr<std::string>()>& make) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.get() >= 0) return ReadAll(file.get(), path);
  if (errno != ENOENT) return Failed(path, "read");
  absl::StatusOr<std::string> content = make();
  if (!content.ok()) return content.status();
  if (absl::Status status = WriteNew(path, *content); !status.ok()) return status;
  return content;
}

absl::StatusOr<ServerKey> LoadOrMakeServerKey(const std::string& path) {
  if (sodium_init() < 0) std::abort();
  ServerKey key;
  absl::StatusOr<std::string> content = LoadOrMakeSecretFile(path, [&] {
    randombytes_buf(key.data(), key.size());
    return absl::StatusOr<std::string>(
        std::string(reinterpret_cast<const char*>(key.data()), key.size()));
  });
  if (!content.ok()) return content.status();
  if (content->size() != key.size()) {
    return absl::InvalidArgumentError(fmt::format(
        "{} must have 32 bytes but has {}; restore the store's key from a backup (with another "
        "key, all blocks are void).",
        path, content->size()));
  }
  std::memcpy(key.data(), content->data(), key.size());
  sodium_memzero(content->data(), content->size());
  return key;
}

}  // namespace sotto::signaling
