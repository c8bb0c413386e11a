// The configuration that the relay runs with, and how it changes: reload, users, secrets. Each
// change is all or nothing: everything is read and checked before anything changes. Control thread
// only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/relayd/config.h"
#include "dataplane/relayd/credential_file.h"
#include "relay/api/tls_files.h"
#include "relay/auth/random.h"
#include "relay/turn/server.h"

namespace sotto::dataplane {

class RunningConfig {
 public:
  // What changes outside of the TURN server.
  struct Effects {
    std::function<void(const LogOptions&)> log;
    std::function<void(const relay::LimitOptions&)> limits;
    std::function<void(TlsPem)> tls;  // with [admin] listen
  };

  // `config` was read from the file at `path`; reads what the relay keeps. Errors as a
  // configuration has them.
  static absl::StatusOr<RunningConfig> Load(std::string path, RelaydConfig config);

  const std::string& path() const { return path_; }
  // Its `server` is as configured, without what the relay keeps.
  const RelaydConfig& config() const { return config_; }
  const KeptCredentials& kept() const { return kept_; }
  // What the server runs with.
  relay::ServerOptions Options() const { return OptionsOf(config_, kept_); }
  // Until the next reload, the log may differ from the configuration's.
  const LogOptions& log() const { return log_; }
  void SetEffects(Effects effects) { effects_ = std::move(effects); }

  // What a reload of `wanted` would change. INVALID_ARGUMENT: all that is wrong, a line each.
  absl::StatusOr<ConfigChange> Check(const RelaydConfig& wanted) const;
  // Reads the file again, and those that it names; logs what comes of it. INVALID_ARGUMENT: what is
  // wrong, and nothing has changed.
  absl::StatusOr<ConfigChange> Reload(relay::Server& server);
  // True before the first.
  bool last_reload_succeeded() const { return reloaded_; }
  // Returns the level before. Kept until the next reload.
  LogLevel SetLogLevel(LogLevel level);

  // The changes of the service Admin (relay/api/admin.proto, where their errors stand). Durable
  // when they return: the thread waits for the disk.
  //
  // An empty password: one is made and returned, else nothing is.
  absl::StatusOr<std::string> AddUser(relay::Server& server, std::string_view name,
                                      std::string_view password);
  // Returns how many of its allocations were ended.
  absl::StatusOr<uint32_t> RemoveUser(relay::Server& server, std::string_view name,
                                      bool end_allocations, const relay::Now& now);
  struct Rotation {
    std::string secret;
    std::vector<std::string> dropped;  // ids
  };
  absl::StatusOr<Rotation> RotateSecret(relay::Server& server, uint32_t keep);

  struct Credential {
    std::string username;
    std::string password;
    std::vector<std::string> urls;  // RFC 7065
    int64_t expires_unix_s = 0;
  };
  // Mints a time-limited credential; `valid_s` 0: a day.
  absl::StatusOr<Credential> Mint(std::string_view name, uint64_t valid_s,
                                  const relay::Now& now) const;

 private:
  struct Prepared {
    RelaydConfig config;
    KeptCredentials kept;
    std::optional<TlsPem> tls;
    ConfigChange change;
  };

  RunningConfig(std::string path, RelaydConfig config, KeptCredentials kept);
  static relay::ServerOptions OptionsOf(const RelaydConfig& config, const KeptCredentials& kept);
  absl::StatusOr<Prepared> Prepare(const RelaydConfig& wanted) const;
  absl::StatusOr<Prepared> ReadAgain() const;
  absl::Status CheckKept(std::string_view what) const;
  // Brings into force what is to be kept from now on, and writes it down.
  absl::Status Keep(relay::Server& server, KeptCredentials kept);
  std::string RandomText(size_t bytes);

  std::string path_;
  RelaydConfig config_;
  KeptCredentials kept_;
  LogOptions log_;
  size_t tls_digest_ = 0;  // of the files' contents
  Effects effects_;
  bool reloaded_ = true;
  std::unique_ptr<relay::Random> random_ = std::make_unique<relay::Random>();
};

}  // namespace sotto::dataplane
