// SPDX-License-Identifier: Apache-2.0
// The configuration that the relay runs with, and how it changes: reload, users, secrets. Each
// change is all or nothing: everything is read and checked before anything changes. Control thread
// only; what it keeps is written elsewhere, so that a slow disk never keeps control waiting.
#pragma once

#include <time.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/relayd/config/config.h"
#include "dataplane/relayd/config/credential_file.h"
#include "relay/base/random.h"
#include "relay/daemon/tls_files.h"
#include "relay/turn/server.h"

namespace sotto::dataplane {

class RunningConfig {
 public:
  // What changes outside of the TURN server.
  struct Effects {
    std::function<void(const LogOptions&)> log;
    std::function<void(const relay::LimitOptions&)> limits;
    std::function<void(TlsPem)> tls;  // with [admin] listen
    // Has the first done where it may wait for a disk, and then, on the control thread, the second
    // with what came of it. Nothing: both are done at once.
    std::function<void(std::function<absl::Status()>,
                       std::function<void(relay::Server&, const absl::Status&)>)>
        write = {};
  };

  // Seconds of Unix time: whether certificates are valid.
  using UnixClock = std::function<int64_t()>;

  // `config` was read from the file at `path`; reads what the relay keeps. Errors as a
  // configuration has them; what is to be warned of is in config().warnings.
  static absl::StatusOr<RunningConfig> Load(
      std::string path, RelaydConfig config, UnixClock clock = [] { return time(nullptr); });

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

  // The changes of the service Admin (relay/api/admin.proto, where their errors stand): one at a
  // time, in the order in which they were asked for. `done` is called once, on the control thread:
  // when the change is durable and in force, or isn't to be made. A reload meanwhile counts as
  // before it.
  template <typename T>
  using Done = std::function<void(absl::StatusOr<T>)>;
  // An empty password: one is made and given to `done`, else nothing is.
  void AddUser(relay::Server& server, std::string name, std::string password,
               Done<std::string> done);
  // What the user has allocated stands.
  void RemoveUser(relay::Server& server, std::string name,
                  std::function<void(const absl::Status&)> done);
  struct Rotation {
    std::string secret;
    std::vector<std::string> dropped;  // ids
  };
  void RotateSecret(relay::Server& server, uint32_t keep, Done<Rotation> done);
  // At the end: answers with UNAVAILABLE what isn't done yet; makes no changes any more.
  void Close();

  struct Credential {
    std::string username;
    std::string password;
    std::vector<std::string> urls;  // RFC 7065
    int64_t expires_unix_s = 0;
  };
  // Mints a time-limited credential; `valid_s` 0: a day.
  absl::StatusOr<Credential> Mint(std::string_view name, uint64_t valid_s, const Now& now) const;

 private:
  struct Prepared {
    RelaydConfig config;
    KeptCredentials kept;
    std::optional<TlsPem> tls;
    ConfigChange change;
  };

  RunningConfig(std::string path, RelaydConfig config, UnixClock clock);
  static relay::ServerOptions OptionsOf(const RelaydConfig& config, const KeptCredentials& kept);
  absl::StatusOr<KeptCredentials> ReadKept() const;
  absl::StatusOr<Prepared> Prepare(const RelaydConfig& wanted) const;
  absl::StatusOr<Prepared> ReadAgain() const;
  absl::Status CheckKept(std::string_view what) const;
  // A change of what is kept: what it is to be, made from kept_ when all before are done.
  struct Change {
    std::function<absl::StatusOr<KeptCredentials>()> make;
    std::function<void(const absl::Status&)> done;
  };
  void Keep(relay::Server& server, Change change);
  void WriteNext(relay::Server& server);
  // Brings into force what was written.
  absl::Status OnWritten(relay::Server& server, const KeptCredentials& kept,
                         const absl::Status& written);
  void FinishChange(const absl::Status& status);
  absl::StatusOr<KeptCredentials> WithUser(const std::string& name,
                                           const std::string& password) const;
  absl::StatusOr<KeptCredentials> WithoutUser(const std::string& name) const;
  std::string RandomText(size_t bytes);

  std::string path_;
  UnixClock clock_;
  RelaydConfig config_;
  KeptCredentials kept_;
  LogOptions log_;
  size_t tls_digest_ = 0;  // of the files' contents
  Effects effects_;
  bool reloaded_ = true;
  std::deque<Change> changes_;
  bool writing_ = false;  // the first of them
  bool closed_ = false;
  std::unique_ptr<Random> random_ = std::make_unique<Random>();
};

}  // namespace sotto::dataplane
