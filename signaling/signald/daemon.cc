// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/daemon.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <google/protobuf/stubs/logging.h>
#include <sodium.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "relay/daemon/log.h"
#include "relay/daemon/notify.h"
#include "relay/daemon/privileges.h"
#include "signaling/decision/store_thread.h"
#include "signaling/identity/development_issuer.h"
#include "signaling/service/service.h"
#include "signaling/signald/config/running_config.h"
#include "signaling/signald/config/secret_file.h"
#include "signaling/signald/front/listener.h"
#include "signaling/signald/operator/operator_side.h"
#include "signaling/store/sqlite_store.h"

namespace sotto::signaling {
namespace {

// A decision takes a millisecond or so with its fsync, and a call may take 20 ms to ring.
constexpr std::chrono::milliseconds kReleaseEvery(5);

namespace asio = boost::asio;

constexpr std::chrono::seconds kGoodbye(2);  // for clients to take the last word
constexpr std::chrono::seconds kPulse(1);

std::string Text(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

ServiceTime ClockNow() {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  return {
      .monotonic_ms = static_cast<uint64_t>(
          duration_cast<milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count()),
      .unix_ms =
          duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count()};
}

// Each connection is a descriptor; how many are allowed at first is for select(2)'s sake.
void RaiseDescriptorLimit(uint32_t connections) {
  constexpr rlim_t kOwn = 64;
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < connections + kOwn) {
    Log(LogLevel::kWarning,
        "The process may open fewer files than [limits] max_connections needs; raise "
        "LimitNOFILE.",
        {{"files", static_cast<uint64_t>(limit.rlim_cur)}, {"max_connections", connections}});
  }
}

// The order of members is that of their making; they end the other way round: what others post to
// goes last.
class Server {
 public:
  Server(std::string config_path, const SignaldConfig& config)
      : config_path_(std::move(config_path)),
        config_(config),
        io_(1),
        signals_(io_, SIGTERM, SIGINT, SIGHUP),
        deadline_(io_),
        pulse_(io_) {
    std::signal(SIGPIPE, SIG_IGN);
  }

  absl::Status Start() {
    const PrivilegeOptions privileges{.user = config_.user};
    if (absl::Status status = CheckPrivileges(privileges); !status.ok()) return status;
    absl::StatusOr<ConfigFiles> files = ConfigFiles::Load(config_, time(nullptr));
    if (!files.ok()) return files.status();
    for (const std::string& warning : files->warnings) Log(LogLevel::kWarning, warning);
    running_.emplace(config_path_, config_, *files);
    max_connections_ = config_.limits.max_connections;
    RaiseDescriptorLimit(max_connections_);
    auto listener = Listener::Create(
        io_, {.listen = config_.server.listen,
              .max_connections = config_.limits.max_connections,
              .max_connections_per_prefix = config_.limits.max_connections_per_prefix});
    if (!listener.ok()) return listener.status();
    listener_ = *std::move(listener);
    auto operator_side =
        OperatorSide::Open(config_, [this] { Post([this] { operator_side_->RunOne(); }); });
    if (!operator_side.ok()) return operator_side.status();
    operator_side_ = *std::move(operator_side);

    // Before the store: its files belong to whom the server runs as.
    const absl::StatusOr<std::string> left = DropPrivileges(privileges);
    if (!left.ok()) {
      return absl::Status(left.status().code(), "can't drop privileges: " + Text(left.status()));
    }
    Log(LogLevel::kInfo, "Dropped privileges.", {{"left", *left}});

    if (absl::Status status = OpenStore(); !status.ok()) return status;
    IdentityKeys keys = std::move(files->keys);
    if (config_.identity.development) {
      if (absl::Status status = MakeDevelopmentIssuer(); !status.ok()) return status;
      keys.Add(development_->public_keys());
    }
    identities_.emplace(config_.identity.options, std::move(keys));

    relays_ = RelayFleet::Create(
        std::move(files->relays), [this](std::function<void()> call) { Post(std::move(call)); },
        [this](const LegAddresses& leg) { service_->OnLeg(leg); });
    service_.emplace(config_.service, key_, *identities_, *store_, *relays_, ClockNow);
    content_ = {.tls = files->tls,
                .web_root = files->web_root,
                .development = development_ ? &*development_ : nullptr,
                .origins = config_.server.origins};
    listener_->Start(
        *service_, [this] { Rearm(); }, [] { return ClockNow().unix_s(); }, content_);
    running_->SetEffects(
        {.log = ConfigureLog, .all = [this](const SignaldConfig& config, ConfigFiles changed) {
           BringIntoForce(config, std::move(changed));
         }});
    return operator_side_->Serve({.version = SOTTO_VERSION,
                                  .started_ms = ClockNow().monotonic_ms,
                                  .standing_window_s = config_.decider.standing_window_s,
                                  .service = *service_,
                                  .store_client = *store_,
                                  .listener = *listener_,
                                  .store = *store_,
                                  .relays = *relays_,
                                  .clock = ClockNow},
                                 *running_);
  }

  void Run() {
    std::vector<std::string> addresses;
    for (const TransportAddress& address : listener_->addresses()) {
      addresses.push_back(address.ToString());
    }
    ready_ = fmt::format("{} at {}, {} relay{}", config_.server.tls ? "TLS" : "plain HTTP",
                         fmt::join(addresses, " and "), config_.relays.size(),
                         config_.relays.size() == 1 ? "" : "s");
    Log(LogLevel::kInfo, "The server is ready.", {{"serving", ready_}});
    AwaitSignal();
    Pulse();
    Rearm();
    notifier_.Ready(ready_);
    io_.run();
    operator_side_->Stop();
    LogSummary();
  }

 private:
  absl::Status OpenStore() {
    const std::string key_path = config_.store_path + ".key";
    std::error_code ignored;
    if (std::filesystem::exists(config_.store_path, ignored) &&
        !std::filesystem::exists(key_path, ignored)) {
      return absl::FailedPreconditionError(fmt::format(
          "[store] path: {} exists, but its key {} does not; restore the key from a backup "
          "(without it, all blocks are void).",
          config_.store_path, key_path));
    }
    const absl::StatusOr<ServerKey> key = LoadOrMakeServerKey(key_path);
    if (!key.ok()) {
      return absl::Status(key.status().code(), fmt::format("[store] path: {}", Text(key.status())));
    }
    key_ = *key;
    auto store = OpenSqliteStore({.path = config_.store_path});
    if (!store.ok()) {
      return absl::Status(store.status().code(),
                          fmt::format("[store] path: {}", Text(store.status())));
    }
    store_.emplace(
        StoreThreadOptions{.release_every = kReleaseEvery}, config_.decider, key_,
        *std::move(store), [this](std::function<void()> call) { Post(std::move(call)); },
        [] { return ClockNow().unix_s(); });
    return absl::OkStatus();
  }

  absl::Status MakeDevelopmentIssuer() {
    const std::string path = config_.store_path + ".development.pem";
    const absl::StatusOr<std::string> pem =
        LoadOrMakeSecretFile(path, DevelopmentIssuer::MakePrivateKey);
    if (!pem.ok()) return pem.status();
    auto issuer = DevelopmentIssuer::Create(*pem, path, config_.identity.options);
    if (!issuer.ok()) return issuer.status();
    development_ = *std::move(issuer);
    Log(LogLevel::kWarning,
        "Development identities are enabled: anyone who can reach this server can sign in as any "
        "account.");
    return absl::OkStatus();
  }

  // From any thread.
  void Post(std::function<void()> call) {
    asio::post(io_, [this, call = std::move(call)] {
      call();
      if (service_) Rearm();
    });
  }

  void Rearm() {
    const MonotonicMs next = service_->NextDeadline();
    if (next == armed_) return;
    armed_ = next;
    if (next == kNever) {
      deadline_.cancel();
      return;
    }
    // Clamped: what is due may be given as long ago.
    const MonotonicMs at = std::max(next, ClockNow().monotonic_ms);
    deadline_.expires_at(std::chrono::steady_clock::time_point(std::chrono::milliseconds(at)));
    deadline_.async_wait([this](boost::system::error_code error) {
      if (error) return;
      armed_ = kNever;
      service_->Tick();
      Rearm();
    });
  }

  // Tells systemd that the thread which serves everything isn't stuck.
  void Pulse() {
    notifier_.Alive(std::chrono::steady_clock::now());
    pulse_.expires_after(kPulse);
    pulse_.async_wait([this](boost::system::error_code error) {
      if (!error) Pulse();
    });
  }

  void AwaitSignal() {
    signals_.async_wait([this](boost::system::error_code error, int signal) {
      if (error) return;
      if (signal == SIGHUP) {
        notifier_.Reloading();
        // What comes of it is in the log.
        running_->Reload().IgnoreError();
        notifier_.Ready(ready_);
        return AwaitSignal();
      }
      Stop();
    });
  }

  void Stop() {
    Log(LogLevel::kInfo, "The server is stopping.");
    notifier_.Stopping();
    listener_->Stop();
    service_->Stop();
    stop_at_ = std::chrono::steady_clock::now() + kGoodbye;
    AwaitGoodbyes();
  }

  void AwaitGoodbyes() {
    if (listener_->connections() == 0 || std::chrono::steady_clock::now() >= stop_at_) {
      return io_.stop();
    }
    pulse_.expires_after(std::chrono::milliseconds(20));
    pulse_.async_wait([this](boost::system::error_code) { AwaitGoodbyes(); });
  }

  void BringIntoForce(const SignaldConfig& config, ConfigFiles files) {
    IdentityKeys keys = std::move(files.keys);
    if (development_) keys.Add(development_->public_keys());
    identities_->Set(config.identity.options, std::move(keys));
    content_.tls = std::move(files.tls);
    content_.web_root = std::move(files.web_root);
    content_.origins = config.server.origins;
    listener_->SetContent(content_);
    if (config.limits.max_connections != max_connections_) {
      max_connections_ = config.limits.max_connections;
      RaiseDescriptorLimit(max_connections_);
    }
    listener_->SetLimits(config.limits.max_connections, config.limits.max_connections_per_prefix);
    service_->SetSessionLimits(config.service.sessions);
    // A call is armed before its credentials have ended, or never.
    relays_->SetRelays(std::move(files.relays),
                       std::chrono::seconds(config.service.calls.credential_s));
    if (files.admin_tls) operator_side_->ReplaceTls(*std::move(files.admin_tls));
  }

  void LogSummary() const {
    const Service::Counters sessions = service_->counters();
    const Switchboard::Counters calls = service_->call_counters();
    const StoreThread::Counters store = store_->counters();
    Log(LogLevel::kInfo, "Server statistics.",
        {{"sessions", sessions.sessions_opened},
         {"resumed", sessions.sessions_resumed},
         {"identities_refused", sessions.identities_refused},
         {"protocol_errors", sessions.protocol_errors},
         {"calls_placed", calls.placed},
         {"calls_connected", calls.connected},
         {"store_batches", store.batches},
         {"store_failures", store.failures}});
  }

  const std::string config_path_;
  const SignaldConfig config_;
  Notifier notifier_;
  std::string ready_;
  asio::io_context io_;
  asio::signal_set signals_;
  asio::steady_timer deadline_;
  asio::steady_timer pulse_;
  std::chrono::steady_clock::time_point stop_at_;
  MonotonicMs armed_ = kNever;
  uint32_t max_connections_ = 0;  // in force
  ServerKey key_ = {};
  std::optional<DevelopmentIssuer> development_;
  std::optional<IdentityVerifier> identities_;
  Listener::Content content_;
  std::unique_ptr<Listener> listener_;
  std::optional<Service> service_;
  std::unique_ptr<RelayFleet> relays_;
  std::optional<StoreThread> store_;
  std::optional<RunningConfig> running_;
  std::unique_ptr<OperatorSide> operator_side_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> CheckFiles(const SignaldConfig& config) {
  absl::StatusOr<ConfigFiles> files = ConfigFiles::Load(config, time(nullptr));
  if (!files.ok()) return files.status();
  return std::move(files->warnings);
}

absl::Status RunDaemon(const std::string& config_path, const SignaldConfig& config) {
  if (sodium_init() < 0) return absl::InternalError("libsodium failed to initialize.");
  // Or a client could fill the log: protobuf writes a line for each string that isn't UTF-8.
  google::protobuf::SetLogHandler(nullptr);
  ConfigureLog(config.log);
  for (const std::string& warning : config.warnings) Log(LogLevel::kWarning, warning);
  Server server(config_path, config);
  if (absl::Status status = server.Start(); !status.ok()) return status;
  server.Run();
  return absl::OkStatus();
}

}  // namespace sotto::signaling
