// SPDX-License-Identifier: Apache-2.0
// Users and shared secrets that the relay itself keeps, beside those of its configuration: what an
// operator adds while it runs. A TOML file, [turn.auth] file, with the keys of the configuration:
//
//   [turn.auth]
//   shared_secrets = ["newest", "older"]
//   [turn.auth.users]
//   demo = "a-long-secret"
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "relay/daemon/config_file.h"
#include "relay/turn/options.h"

namespace sotto::dataplane {

constexpr size_t kMaxKeptUsers = 10'000;
constexpr size_t kMaxKeptSecrets = 16;

struct KeptCredentials {
  std::map<std::string, std::string> users;  // name to password
  std::vector<std::string> secrets;          // newest first

  // What is read, for ConfigReader.
  std::vector<std::string> warnings = {};
  ConfigSettings settings = {};

  bool operator==(const KeptCredentials& other) const {
    return users == other.users && secrets == other.secrets;
  }
};

// NOT_FOUND where there is no file. Errors as those of a configuration: a line for each thing that
// is wrong. Warns when others can read it.
absl::StatusOr<KeptCredentials> LoadCredentials(const std::string& path);

// Replaces the file, mode 0600, at once or not at all; durable when it returns. DATA_LOSS: it is
// replaced, and not known to be durable. INVALID_ARGUMENT: what isn't plain text
// (relay/base/text.h).
absl::Status SaveCredentials(const std::string& path, const KeptCredentials& credentials);

// Says early, as the user that the process runs as, what loading and saving would fail with.
absl::Status CheckCredentialAccess(const std::string& path);

// What the server authenticates with: the configuration's and the kept ones. A user who stands in
// both has the configuration's password; kept secrets come first, so that the newest is minted
// with.
relay::AuthOptions Merged(const relay::AuthOptions& configured, const KeptCredentials& kept);

// 8 hexadecimal digits that tell secrets apart and give none away.
std::string SecretId(std::string_view secret);

}  // namespace sotto::dataplane
