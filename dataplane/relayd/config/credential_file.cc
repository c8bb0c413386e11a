// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/config/credential_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "dataplane/relayd/config/config_reader.h"
#include "relay/auth/credential.h"
#include "relay/stun/integrity.h"

namespace sotto::dataplane {
namespace {

const ConfigReader<KeptCredentials>& Reader() {
  static const ConfigKeyReader<KeptCredentials> kKeys[] = {
      {{.section = "turn.auth",
        .name = "users",
        .type = "a table of passwords",
        .standard = "{}",
        .example = R"({ demo = "a-long-secret" })",
        .secret = true,
        .meaning = "Users."},
       [](const ConfigValue& v, KeptCredentials& k) { ReadUsers(v, k.users); }},
      {{.section = "turn.auth",
        .name = "shared_secrets",
        .type = "an array of strings",
        .standard = "[]",
        .example = R"(["current-secret", "previous-secret"])",
        .secret = true,
        .meaning = "Secrets, newest first."},
       [](const ConfigValue& v, KeptCredentials& k) { v.ReadAll(k.secrets); }},
  };
  static const auto* const reader = new ConfigReader<KeptCredentials>(
      kKeys, {}, [](const KeptCredentials& kept, ConfigErrors& errors) {
        if (kept.users.size() > kMaxKeptUsers) {
          errors.Add(0, fmt::format("has {} users; must have at most {}.", kept.users.size(),
                                    kMaxKeptUsers));
        }
        if (kept.secrets.size() > kMaxKeptSecrets) {
          errors.Add(0, fmt::format("has {} secrets; must have at most {}.", kept.secrets.size(),
                                    kMaxKeptSecrets));
        }
      });
  return *reader;
}

// A basic string of TOML. (toml++ 3.3 writes keys with an apostrophe bare, and can't read them.)
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

std::string Render(const KeptCredentials& kept) {
  std::string text =
      "# Written by sotto-relayd (sottoctl users, sottoctl secrets). Edit it only while no relay "
      "uses it,\n"
      "# or reload the relay right after.\n"
      "[turn.auth]\n"
      "shared_secrets = [";
  for (const std::string& secret : kept.secrets) text += "\n  " + Quoted(secret) + ",";
  text += "\n]\n[turn.auth.users]\n";
  for (const auto& [name, password] : kept.users) {
    text += fmt::format("{} = {}\n", Quoted(name), Quoted(password));
  }
  return text;
}

absl::Status Failed(std::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, fmt::format("[turn.auth] file: {} {}", path, what));
}

std::string FolderOf(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

// Owns a descriptor, and the file behind it until Keep().
class NewFile {
 public:
  explicit NewFile(std::string path) : path_(std::move(path)) {
    // What a process that was killed left there.
    unlink(path_.c_str());
    fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  }
  ~NewFile() {
    if (fd_ >= 0) close(fd_);
    if (fd_ >= 0 && !kept_) unlink(path_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  bool Write(std::string_view text) {
    if (fd_ < 0) return false;
    while (!text.empty()) {
      const ssize_t written = write(fd_, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return false;
      text.remove_prefix(static_cast<size_t>(written));
    }
    return fsync(fd_) == 0;
  }
  bool MoveTo(const std::string& path) {
    kept_ = rename(path_.c_str(), path.c_str()) == 0;
    return kept_;
  }

 private:
  const std::string path_;
  int fd_;
  bool kept_ = false;
};

bool SyncFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool synced = fsync(fd) == 0;
  const int error = errno;
  close(fd);
  errno = error;
  return synced;
}

}  // namespace

absl::StatusOr<KeptCredentials> LoadCredentials(const std::string& path) {
  return Reader().Load(path, {});
}

absl::Status SaveCredentials(const std::string& path, const KeptCredentials& credentials) {
  const std::string text = Render(credentials);
  if (text.size() > kMaxConfigSize) {
    return absl::ResourceExhaustedError(fmt::format(
        "[turn.auth] file: {} would be larger than {} bytes; remove users that are no longer "
        "needed",
        path, kMaxConfigSize));
  }
  // What can't be read would be lost at the next start.
  const absl::StatusOr<KeptCredentials> read = Reader().Parse(text, path, {});
  if (!read.ok()) return absl::InvalidArgumentError(read.status().message());
  if (!(*read == credentials)) {
    return absl::InternalError(fmt::format(
        "[turn.auth] file: {} would not read back as it was meant (an internal error); nothing was "
        "written",
        path));
  }
  NewFile file(path + ".new");
  if (!file.Write(text)) return Failed("can't be written", path + ".new");
  if (!file.MoveTo(path)) return Failed("can't be replaced", path);
  if (!SyncFolder(FolderOf(path))) {
    return absl::DataLossError(
        fmt::format("[turn.auth] file: {} is written and in force, but may be lost in a crash: {}",
                    path, strerror(errno)));
  }
  return absl::OkStatus();
}

absl::Status CheckCredentialAccess(const std::string& path) {
  const std::string folder = FolderOf(path);
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    return Failed(fmt::format("is in a folder that the relay can't write to; let user {} write to "
                              "it, or name another file",
                              geteuid()),
                  path);
  }
  if (access(path.c_str(), R_OK) != 0 && errno != ENOENT) {
    return Failed(fmt::format("can't be read by user {}, which the relay runs as", geteuid()),
                  path);
  }
  return absl::OkStatus();
}

relay::AuthOptions Merged(const relay::AuthOptions& configured, const KeptCredentials& kept) {
  relay::AuthOptions merged = configured;
  merged.users.insert(kept.users.begin(), kept.users.end());
  merged.shared_secrets = kept.secrets;
  for (const std::string& secret : configured.shared_secrets) {
    if (std::ranges::find(kept.secrets, secret) == kept.secrets.end()) {
      merged.shared_secrets.push_back(secret);
    }
  }
  return merged;
}

std::string SecretId(std::string_view secret) {
  constexpr std::string_view kLabel = "sotto secret id";
  const std::span<const uint8_t> parts[] = {
      {reinterpret_cast<const uint8_t*>(kLabel.data()), kLabel.size()}};
  std::array<uint8_t, 32> mac;
  relay::HmacSha256({reinterpret_cast<const uint8_t*>(secret.data()), secret.size()}, parts, mac);
  return fmt::format("{:02x}{:02x}{:02x}{:02x}", mac[0], mac[1], mac[2], mac[3]);
}

}  // namespace sotto::dataplane
