// SPDX-License-Identifier: Apache-2.0
// The service Daemon of relay/api/daemon.proto, where the contract stands, for any daemon: what it
// does is given as functions.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "relay/api/daemon.grpc.pb.h"
#include "relay/daemon/config_file.h"
#include "relay/daemon/log.h"

namespace sotto {

struct DaemonHooks {
  std::string name;  // "sotto-relayd"
  std::string version;
  std::string config_path;

  // Has `work` done on the thread that owns the daemon's state, and then the request finished with
  // the status that it returned, on a thread that may enter gRPC; or finishes it at once with
  // UNAVAILABLE.
  using Work = std::function<absl::Status()>;
  std::function<grpc::ServerUnaryReactor*(grpc::CallbackServerContext*, Work)> run;

  // From within that work:
  std::function<uint64_t()> uptime_s;
  std::function<LogLevel()> log_level;
  std::function<LogLevel(LogLevel)> set_log_level;  // returns what it was before
  // What is in force; viewed until the work ends.
  std::function<const ConfigSettings&()> settings;
  std::function<absl::StatusOr<ConfigChange>()> reload;

  // Any thread. Reads a configuration (`text` empty: the daemon's file) and returns what is left of
  // its check, which runs from within the work.
  using Check = std::function<absl::StatusOr<ConfigChange>()>;
  std::function<absl::StatusOr<Check>(const std::string& text, const std::string& name)> read;
  const ConfigSchema* schema = nullptr;
};

class DaemonService final : public daemon::v1::Daemon::CallbackService {
 public:
  explicit DaemonService(DaemonHooks hooks);
  // Not here: each file that sees it would compile gRPC's part of the service anew.
  ~DaemonService() override;

 private:
  using Context = grpc::CallbackServerContext;

  grpc::ServerUnaryReactor* GetDaemon(Context* context, const daemon::v1::GetDaemonRequest* request,
                                      daemon::v1::DaemonInfo* response) override;
  grpc::ServerUnaryReactor* GetConfig(Context* context, const daemon::v1::GetConfigRequest* request,
                                      daemon::v1::Config* response) override;
  grpc::ServerUnaryReactor* CheckConfig(Context* context,
                                        const daemon::v1::CheckConfigRequest* request,
                                        daemon::v1::ConfigChange* response) override;
  grpc::ServerUnaryReactor* Reload(Context* context, const daemon::v1::ReloadRequest* request,
                                   daemon::v1::ConfigChange* response) override;
  grpc::ServerUnaryReactor* SetLogLevel(Context* context,
                                        const daemon::v1::SetLogLevelRequest* request,
                                        daemon::v1::SetLogLevelResponse* response) override;

  const DaemonHooks hooks_;
};

}  // namespace sotto
