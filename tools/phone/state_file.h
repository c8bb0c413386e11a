// SPDX-License-Identifier: Apache-2.0
// What a phone remembers between commands: its account's secret, its own device, contacts with
// their unused tokens, and which tokens it has given away. One JSON file with mode 0600, replaced
// in one step; several processes may use it at a time.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/signaling_client/keys.h"
#include "tools/signaling_client/token.h"

namespace sotto::tools {

struct Contact {
  AccountPublicKeys keys;
  std::vector<std::string> tokens;  // not used yet, 85 bytes each
};

struct EpochRegistration {
  uint16_t generation = 0;
  uint32_t uses = 0;  // 0: no key of this epoch was registered
};

struct PhoneState {
  std::string account;  // empty until the server has named it
  AccountSecret secret = AccountSecret(Key{});
  std::array<uint8_t, 16> device = {};
  Key notice_secret = {};
  std::map<uint32_t, EpochRegistration> epochs;
  std::map<std::string, Contact> contacts;
  // By epoch: one list for each invitation.
  std::map<uint32_t, std::vector<std::vector<TokenSerial>>> issued;

  // A new account's, on a new device.
  static PhoneState Generate();
  // The same account on another device.
  PhoneState ForAnotherDevice() const;
  // Drops what is of epochs before `epoch`.
  void ForgetBefore(uint32_t epoch);

  // INVALID_ARGUMENT names the field that is wrong.
  static absl::StatusOr<PhoneState> FromJson(std::string_view text);
  std::string ToJson() const;
};

class StateFile {
 public:
  // Reads the file, or makes it. FAILED_PRECONDITION: others may read it, or it isn't a state file.
  static absl::StatusOr<StateFile> Open(const std::string& path);
  // Fails if the file exists.
  static absl::Status Create(const std::string& path, const PhoneState& state);

  const PhoneState& state() const { return state_; }
  // Reads what others have written, changes it, and is durable on return. `change` may refuse.
  absl::Status Update(const std::function<absl::Status(PhoneState&)>& change);

 private:
  explicit StateFile(std::string path) : path_(std::move(path)) {}

  std::string path_;
  PhoneState state_;
};

}  // namespace sotto::tools
