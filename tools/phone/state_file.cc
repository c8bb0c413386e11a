// SPDX-License-Identifier: Apache-2.0
#include "tools/phone/state_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

namespace sotto::tools {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kMaxFileSize = 64 * 1024 * 1024;

class File {
 public:
  File(const std::string& path, int flags)
      : fd_(open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

absl::Status Errno(std::string_view doing, const std::string& path) {
  return absl::FailedPreconditionError(
      fmt::format("can't {} the state file {}: {}", doing, path, std::strerror(errno)));
}

// Between processes that change the same state.
absl::Status Lock(const File& lock, const std::string& path) {
  if (lock.fd() < 0 || flock(lock.fd(), LOCK_EX) != 0) return Errno("lock", path);
  return absl::OkStatus();
}

// A field of a fixed size, in hexadecimal.
template <size_t N>
void Get(const json& from, const char* name, std::array<uint8_t, N>& out) {
  const auto bytes = FromHex(from.at(name).get<std::string>());
  if (!bytes.ok() || bytes->size() != N) {
    throw std::invalid_argument(fmt::format("\"{}\" must be {} hexadecimal digits", name, 2 * N));
  }
  std::copy(bytes->begin(), bytes->end(), out.begin());
}

uint32_t EpochOf(const std::string& text) {
  uint32_t epoch = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), epoch);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::invalid_argument(fmt::format("\"{}\" is not an epoch", text));
  }
  return epoch;
}

PhoneState Read(const json& from) {
  if (from.at("version").get<int>() != kVersion) {
    throw std::invalid_argument("it was written by another version of sotto-phone");
  }
  PhoneState state;
  state.account = from.at("account").get<std::string>();
  Key secret;
  Get(from, "secret", secret);
  state.secret = AccountSecret(secret);
  Get(from, "device", state.device);
  Get(from, "notice_secret", state.notice_secret);
  for (const auto& [epoch, entry] : from.at("epochs").items()) {
    state.epochs[EpochOf(epoch)] = {entry.at("generation").get<uint16_t>(),
                                    entry.at("uses").get<uint32_t>()};
  }
  for (const auto& [name, entry] : from.at("contacts").items()) {
    Contact contact;
    Get(entry, "box", contact.keys.box);
    Get(entry, "sign", contact.keys.sign);
    for (const auto& token : entry.at("tokens")) {
      auto bytes = FromHex(token.get<std::string>());
      if (!bytes.ok() || !ReadToken(*bytes)) throw std::invalid_argument("a token is not valid");
      contact.tokens.push_back(*std::move(bytes));
    }
    state.contacts[name] = std::move(contact);
  }
  for (const auto& [epoch, invitations] : from.at("issued").items()) {
    auto& lists = state.issued[EpochOf(epoch)];
    for (const auto& invitation : invitations) {
      auto& list = lists.emplace_back();
      for (const auto& serial : invitation) {
        Get(json{{"serial", serial}}, "serial", list.emplace_back());
      }
    }
  }
  return state;
}

absl::StatusOr<PhoneState> ReadFile(const std::string& path) {
  const File file(path, O_RDONLY);
  struct stat about;
  if (file.fd() < 0 || fstat(file.fd(), &about) != 0) return Errno("open", path);
  if (!S_ISREG(about.st_mode) || static_cast<size_t>(about.st_size) > kMaxFileSize) {
    return absl::FailedPreconditionError(fmt::format("{} is not a state file", path));
  }
  if ((about.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("other users can read the secrets in {}; run chmod 600 on it", path));
  }
  std::string text(static_cast<size_t>(about.st_size), '\0');
  size_t have = 0;
  while (have < text.size()) {
    const ssize_t got = read(file.fd(), text.data() + have, text.size() - have);
    if (got <= 0) return Errno("read", path);
    have += static_cast<size_t>(got);
  }
  auto state = PhoneState::FromJson(text);
  if (!state.ok()) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not a state file: {}", path, std::string(state.status().message())));
  }
  return state;
}

absl::Status WriteFile(const std::string& path, const PhoneState& state) {
  const std::string fresh = path + ".new";
  const std::string text = state.ToJson();
  {
    const File file(fresh, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.fd() < 0 || fchmod(file.fd(), 0600) != 0) return Errno("write", path);
    size_t done = 0;
    while (done < text.size()) {
      const ssize_t written = write(file.fd(), text.data() + done, text.size() - done);
      if (written < 0) return Errno("write", path);
      done += static_cast<size_t>(written);
    }
    if (fsync(file.fd()) != 0) return Errno("write", path);
  }
  if (std::rename(fresh.c_str(), path.c_str()) != 0) return Errno("replace", path);
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const File parent(folder, O_RDONLY | O_DIRECTORY);
  if (parent.fd() < 0 || fsync(parent.fd()) != 0) return Errno("write", path);
  return absl::OkStatus();
}

}  // namespace

PhoneState PhoneState::Generate() {
  PhoneState state;
  state.secret = AccountSecret::Generate();
  return state.ForAnotherDevice();
}

PhoneState PhoneState::ForAnotherDevice() const {
  PhoneState other = *this;
  const std::string id = RandomBytes(other.device.size());
  std::copy(id.begin(), id.end(), other.device.begin());
  other.notice_secret = MakeBoxKeyPair().secret_key;
  // Both would use the same ones, and what one of them has used rings for neither.
  for (auto& [name, contact] : other.contacts) contact.tokens.clear();
  return other;
}

void PhoneState::ForgetBefore(uint32_t epoch) {
  std::erase_if(epochs, [&](const auto& entry) { return entry.first < epoch; });
  std::erase_if(issued, [&](const auto& entry) { return entry.first < epoch; });
  for (auto& [name, contact] : contacts) {
    std::erase_if(contact.tokens,
                  [&](const std::string& token) { return ReadToken(token)->epoch < epoch; });
  }
}

absl::StatusOr<PhoneState> PhoneState::FromJson(std::string_view text) {
  try {
    return Read(json::parse(text));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

std::string PhoneState::ToJson() const {
  nlohmann::ordered_json to = {{"version", kVersion},
                               {"account", account},
                               {"secret", ToHex(secret.bytes())},
                               {"device", ToHex(device)},
                               {"notice_secret", ToHex(notice_secret)},
                               {"epochs", json::object()},
                               {"contacts", json::object()},
                               {"issued", json::object()}};
  for (const auto& [epoch, entry] : epochs) {
    to["epochs"][std::to_string(epoch)] = {{"generation", entry.generation}, {"uses", entry.uses}};
  }
  for (const auto& [name, contact] : contacts) {
    json tokens = json::array();
    for (const std::string& token : contact.tokens) tokens.push_back(ToHex(AsBytes(token)));
    to["contacts"][name] = {{"box", ToHex(contact.keys.box)},
                            {"sign", ToHex(contact.keys.sign)},
                            {"tokens", std::move(tokens)}};
  }
  for (const auto& [epoch, invitations] : issued) {
    json lists = json::array();
    for (const auto& invitation : invitations) {
      json serials = json::array();
      for (const TokenSerial& serial : invitation) serials.push_back(ToHex(serial));
      lists.push_back(std::move(serials));
    }
    to["issued"][std::to_string(epoch)] = std::move(lists);
  }
  return to.dump(1) + "\n";
}

absl::StatusOr<StateFile> StateFile::Open(const std::string& path) {
  StateFile file(path);
  const File lock(path + ".lock", O_RDWR | O_CREAT);
  if (auto status = Lock(lock, path); !status.ok()) return status;
  struct stat about;
  if (lstat(path.c_str(), &about) != 0 && errno == ENOENT) {
    file.state_ = PhoneState::Generate();
    if (auto status = WriteFile(path, file.state_); !status.ok()) return status;
    return file;
  }
  auto state = ReadFile(path);
  if (!state.ok()) return state.status();
  file.state_ = *std::move(state);
  return file;
}

absl::Status StateFile::Create(const std::string& path, const PhoneState& state) {
  const File lock(path + ".lock", O_RDWR | O_CREAT);
  if (auto status = Lock(lock, path); !status.ok()) return status;
  struct stat about;
  if (lstat(path.c_str(), &about) == 0) {
    return absl::AlreadyExistsError(fmt::format(
        "{} already exists and may contain the only copy of an account; name another file", path));
  }
  return WriteFile(path, state);
}

absl::Status StateFile::Update(const std::function<absl::Status(PhoneState&)>& change) {
  const File lock(path_ + ".lock", O_RDWR | O_CREAT);
  if (auto status = Lock(lock, path_); !status.ok()) return status;
  auto state = ReadFile(path_);
  if (!state.ok()) return state.status();
  if (auto status = change(*state); !status.ok()) return status;
  if (auto status = WriteFile(path_, *state); !status.ok()) return status;
  state_ = *std::move(state);
  return absl::OkStatus();
}

}  // namespace sotto::tools
