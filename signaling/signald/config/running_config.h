// SPDX-License-Identifier: Apache-2.0
// The configuration that the server runs with, and how it is reloaded: all or nothing, as
// everything is read and checked before anything changes. The service's thread.
#pragma once

#include <time.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "relay/daemon/tls_files.h"
#include "signaling/identity/identity_verifier.h"
#include "signaling/signald/config/config.h"
#include "signaling/signald/front/tls_context.h"
#include "signaling/signald/front/web_root.h"

namespace sotto::signaling {

// What the files hold that a configuration names.
struct ConfigFiles {
  IdentityKeys keys;
  std::shared_ptr<TlsContext> tls;          // with [server] tls
  std::shared_ptr<const WebRoot> web_root;  // with [server] web_root
  std::optional<TlsPem> admin_tls;          // with [admin] listen
  std::vector<RelayEndpoint> relays;
  // Of the contents of files whose names may stay as they are.
  size_t keys_digest = 0;
  size_t tls_digest = 0;
  size_t admin_tls_digest = 0;
  size_t relays_tls_digest = 0;
  std::vector<std::string> warnings;  // one sentence each

  // Errors name key and file. Whether certificates are valid is looked at as of `unix_s`.
  static absl::StatusOr<ConfigFiles> Load(const SignaldConfig& config, int64_t unix_s);
};

class RunningConfig {
 public:
  // Brings into force what has changed. `log` is of the daemon as a process, and changes alone,
  // too.
  struct Effects {
    std::function<void(const LogOptions&)> log;
    std::function<void(const SignaldConfig&, ConfigFiles)> all;
  };

  // Seconds of Unix time: whether certificates are valid.
  using UnixClock = std::function<int64_t()>;

  // `config` was read from the file at `path`, and `files` are its own.
  RunningConfig(
      std::string path, SignaldConfig config, const ConfigFiles& files,
      UnixClock clock = [] { return time(nullptr); });

  void SetEffects(Effects effects) { effects_ = std::move(effects); }
  const std::string& path() const { return path_; }
  const SignaldConfig& config() const { return config_; }
  // Until the next reload, the log may differ from the configuration's.
  const LogOptions& log() const { return log_; }

  // What a reload of `wanted` would change. INVALID_ARGUMENT: what is wrong with it.
  absl::StatusOr<ConfigChange> Check(const SignaldConfig& wanted) const;
  // Reads the file again, and those that it names; logs what comes of it. INVALID_ARGUMENT: what is
  // wrong, and nothing has changed.
  absl::StatusOr<ConfigChange> Reload();
  // Returns the level before.
  LogLevel SetLogLevel(LogLevel level);

 private:
  struct Prepared {
    SignaldConfig config;
    ConfigFiles files;
    ConfigChange change;
  };
  absl::StatusOr<Prepared> Prepare(const SignaldConfig& wanted) const;
  void Remember(const ConfigFiles& files);

  const std::string path_;
  const UnixClock clock_;
  SignaldConfig config_;
  LogOptions log_;
  size_t keys_digest_ = 0;
  size_t tls_digest_ = 0;
  size_t admin_tls_digest_ = 0;
  size_t relays_tls_digest_ = 0;
  Effects effects_;
};

}  // namespace sotto::signaling
