// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/daemon.h"

#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/eal/eal.h"
#include "dataplane/observe/capture.h"
#include "dataplane/observe/explain.h"
#include "dataplane/port/pool.h"
#include "dataplane/port/port.h"
#include "dataplane/relayd/config/disk_thread.h"
#include "dataplane/relayd/config/running_config.h"
#include "dataplane/relayd/control.h"
#include "dataplane/relayd/live_relay.h"
#include "dataplane/relayd/operator/admin_server.h"
#include "dataplane/relayd/operator/admin_service.h"
#include "dataplane/relayd/operator/call_control.h"
#include "dataplane/relayd/operator/daemon_control.h"
#include "dataplane/relayd/operator/metrics.h"
#include "relay/daemon/instance_lock.h"
#include "relay/daemon/log.h"
#include "relay/daemon/metrics_server.h"
#include "relay/daemon/notify.h"
#include "relay/daemon/privileges.h"

namespace sotto::dataplane {
namespace {

constexpr std::chrono::milliseconds kLinkWait(3000);

std::string Text(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

// Signals as flags and a descriptor. One object; the handlers are put back at its end.
class Signals {
 public:
  Signals() {
    stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct sigaction action = {};
    action.sa_flags = SA_RESTART;
    action.sa_handler = [](int) { End(); };
    sigaction(SIGINT, &action, nullptr);
    action.sa_handler = [](int) {
      const bool again = terminate_.exchange(true, std::memory_order_relaxed);
      if (again || !drains_.load(std::memory_order_relaxed)) End();
    };
    sigaction(SIGTERM, &action, nullptr);
    action.sa_handler = [](int) { reload_.store(true, std::memory_order_relaxed); };
    sigaction(SIGHUP, &action, nullptr);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, nullptr);
  }
  ~Signals() {
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, SIG_DFL);
    close(stop_fd_);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Readable from the first SIGINT on, the first SIGTERM (the second, if the first one begins a
  // drain), or End().
  int stop_fd() const { return stop_fd_; }
  static void End() {
    ended_.store(true, std::memory_order_relaxed);
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(stop_fd_, &one, sizeof(one));
  }
  void SetDrains(bool drains) { drains_.store(drains, std::memory_order_relaxed); }
  // Between the SIGTERM that begins a drain and the end.
  bool draining() const {
    return terminate_.load(std::memory_order_relaxed) && !ended_.load(std::memory_order_relaxed);
  }
  bool TakeReload() { return reload_.exchange(false, std::memory_order_relaxed); }

 private:
  // Signal handlers write, the main thread reads.
  static inline int stop_fd_ = -1;
  static inline std::atomic<bool> reload_ = false;
  static inline std::atomic<bool> terminate_ = false;
  static inline std::atomic<bool> ended_ = false;
  // The main thread writes, signal handlers read.
  static inline std::atomic<bool> drains_ = false;
};

std::vector<PortOptions> PortsOf(const RelaydConfig& config) {
  std::vector<PortOptions> ports;
  for (const InterfaceConfig& interface : config.interfaces) {
    const auto same = std::find_if(ports.begin(), ports.end(), [&](const PortOptions& port) {
      return port.name == interface.port;
    });
    if (same != ports.end()) {
      // The device carries what the largest of its interfaces does; with one that takes the
      // device's MTU, that.
      same->mtu = same->mtu == 0 || interface.mtu == 0 ? 0 : std::max(same->mtu, interface.mtu);
      continue;
    }
    ports.push_back({.name = interface.port,
                     .queues = config.dataplane.workers,
                     .rx_descriptors = config.dataplane.rx_descriptors,
                     .tx_descriptors = config.dataplane.tx_descriptors,
                     .mtu = interface.mtu,
                     .mac = interface.mac});
  }
  return ports;
}

// One relay for each kernel interface and for each admin socket.
absl::StatusOr<std::vector<InstanceLock>> AcquireLocks(const RelaydConfig& config) {
  std::vector<InstanceLock> locks;
  std::vector<std::string> names;
  if (!config.admin.socket.empty()) names.push_back(config.admin.socket);
  for (const std::string& arg : config.dataplane.eal_args) {
    const size_t iface = arg.find("iface=");
    if (arg.find("net_") == std::string::npos || iface == std::string::npos) continue;
    const size_t begin = iface + std::string_view("iface=").size();
    names.push_back("interface " + arg.substr(begin, arg.find(',', begin) - begin));
  }
  for (const std::string& name : names) {
    auto lock = InstanceLock::Acquire("sotto-relayd", name);
    if (!lock.ok()) {
      return absl::Status(lock.status().code(),
                          Text(lock.status()) + "; stop that process, or name another.");
    }
    locks.push_back(*std::move(lock));
  }
  return locks;
}

absl::Status CheckAddresses(const RelaydConfig& config) {
  std::vector<IpAddress> addresses;
  for (const InterfaceConfig& interface : config.interfaces) {
    for (const InterfaceConfig::Address& address : interface.addresses) {
      addresses.push_back(address.ip);
    }
  }
  const std::vector<std::string> taken = AddressesOfKernel(addresses);
  if (taken.empty()) return absl::OkStatus();
  return absl::AlreadyExistsError(fmt::format(
      "address in use: the kernel has {}; remove it with ip address del, or give the relay another "
      "address.",
      fmt::join(taken, " and ")));
}

absl::StatusOr<AdminServerOptions> AdminOptionsOf(const RelaydConfig& config) {
  AdminServerOptions options;
  options.listen = config.admin.listen;
  options.tls = config.admin.tls;
  if (config.admin.socket.empty()) return options;
  absl::StatusOr<UnixListenerOptions> socket =
      AdminSocketOf(config.admin.socket, config.admin.group, config.user);
  if (!socket.ok()) return socket.status();
  options.socket = *std::move(socket);
  return options;
}

// What the relay did, for whoever looks at why it ended.
void LogSummary(const PacketSums& sums, const relay::ServerCounters& counters) {
  for (size_t i = 0; i < kCountOf<PacketPath>; ++i) {
    if (sums.paths[i] == 0) continue;
    Log(LogLevel::kInfo, "Packets forwarded or handled.",
        {{"path", Name(static_cast<PacketPath>(i))}, {"packets", sums.paths[i]}});
  }
  for (size_t i = 0; i < kCountOf<DropReason>; ++i) {
    if (sums.drops[i] == 0) continue;
    const DropReason reason = static_cast<DropReason>(i);
    Log(LogLevel::kInfo, "Packets dropped.",
        {{"reason", Name(reason)}, {"packets", sums.drops[i]}, {"meaning", Sentence(reason)}});
  }
  Log(LogLevel::kInfo, "TURN requests served.",
      {{"requests", counters.requests},
       {"allocations_created", counters.allocations_created},
       {"allocations_expired", counters.allocations_expired},
       {"auth_failures", counters.auth_failures}});
}

// What is open, in the order in which it was opened; closed the other way round.
class Relay {
 public:
  ~Relay() {
    metrics_server_.reset();
    if (admin_) admin_->Stop(control_->server(), control_->CurrentTime());
    admin_.reset();
    disk_.reset();
    if (control_) control_->Stop();
    if (live_) LogSummary(SumOf(*live_), control_->server().counters());
    control_.reset();
    if (raise_for_close_) RaiseForClose();
    for (auto port = ports_.rbegin(); port != ports_.rend(); ++port) ClosePort(*port);
    rte_mempool_free(pool_);
  }

  // `running` must outlive the object.
  absl::Status Start(RunningConfig& running) {
    RelaydConfig config = running.config();
    config.server = running.Options();
    const PrivilegeOptions early{.user = config.user};
    if (absl::Status status = CheckPrivileges(early); !status.ok()) return status;
    if (absl::Status status = CheckAddresses(config); !status.ok()) return status;
    absl::StatusOr<std::vector<InstanceLock>> locks = AcquireLocks(config);
    if (!locks.ok()) return locks.status();
    locks_ = *std::move(locks);

    if (absl::Status status = StartEal(config); !status.ok()) return status;
    if (absl::Status status = StartPorts(config); !status.ok()) return status;
    absl::StatusOr<std::unique_ptr<Control>> control = Control::Create(config, ports_, pool_);
    if (!control.ok()) return control.status();
    control_ = *std::move(control);
    if (absl::Status status = control_->Start(); !status.ok()) return status;
    live_.emplace(*control_, ports_);
    if (absl::Status status = OpenAdmin(config, running); !status.ok()) return status;
    running.SetEffects(
        {.log =
             [this](const LogOptions& log) {
               ConfigureLog(log);
               eal_->SetVerbose(log.level == LogLevel::kDebug);
             },
         .limits = [this](const relay::LimitOptions& limits) { control_->SetLimits(limits); },
         .tls = [this](TlsPem tls) { admin_->ReplaceTls(std::move(tls)); },
         .write = [this](DiskThread::Work write,
                         DiskThread::Then then) { disk_->Do(std::move(write), std::move(then)); }});
    if (absl::Status status = OpenMetrics(config, running); !status.ok()) return status;

    PrivilegeOptions privileges = early;
    for (const Port& port : ports_) privileges.keep_for_close |= port.privileged_close;
    const absl::StatusOr<std::string> left = DropPrivileges(privileges);
    if (!left.ok()) {
      return absl::Status(left.status().code(), "can't drop privileges: " + Text(left.status()));
    }
    raise_for_close_ = privileges.keep_for_close;
    Log(LogLevel::kInfo, "Dropped privileges.", {{"left", *left}});
    if (!config.credential_file.empty()) {
      absl::Status status = CheckCredentialAccess(config.credential_file);
      if (!status.ok()) return status;
    }
    if (metrics_server_) {
      metrics_server_->Serve([this](MetricFamilies& families) { metrics_->Collect(families); });
    }
    return admin_ ? admin_->Serve(control_->server(), control_->CurrentTime()) : absl::OkStatus();
  }

  Control& control() { return *control_; }

 private:
  absl::Status OpenAdmin(const RelaydConfig& config, RunningConfig& running) {
    if (config.admin.socket.empty() && !config.admin.listen) return absl::OkStatus();
    const absl::StatusOr<AdminServerOptions> options = AdminOptionsOf(config);
    if (!options.ok()) return options.status();
    absl::StatusOr<std::unique_ptr<AdminServer>> admin =
        AdminServer::Open(*options, control_->tasks());
    if (!admin.ok()) return admin.status();
    admin_ = *std::move(admin);
    disk_.emplace(control_->tasks());
    admin_->Add(std::make_unique<CallControlService>(CallControlOptions{.version = SOTTO_VERSION},
                                                     admin_->requests()));
    explainer_.emplace(control_->parts().context, pool_);
    OpenCapture();
    admin_->Add(std::make_unique<AdminService>(AdminOptions{.version = SOTTO_VERSION}, *live_,
                                               *explainer_, *capture_, running,
                                               admin_->requests()));
    admin_->Add(std::make_unique<DaemonControl>(SOTTO_VERSION, running, admin_->requests()));
    return absl::OkStatus();
  }

  void OpenCapture() {
    std::vector<CaptureTap*> taps;
    for (const auto& worker : control_->parts().workers) taps.push_back(&worker->capture_tap());
    std::vector<PacketCapture::Port> ports;
    for (const Port& port : ports_) ports.push_back({port.id, port.name});
    const auto max_frame =
        static_cast<uint16_t>(rte_pktmbuf_data_room_size(pool_) - RTE_PKTMBUF_HEADROOM);
    const auto now = [] {
      const auto unix_time = std::chrono::system_clock::now().time_since_epoch();
      return CaptureMoment{
          .tick = rte_rdtsc(),
          .unix_ns = static_cast<uint64_t>(std::chrono::nanoseconds(unix_time).count())};
    };
    capture_.emplace(std::move(taps), std::move(ports), max_frame,
                     PacketCapture::Clock{.now = now, .hz = rte_get_tsc_hz()});
  }

  absl::Status OpenMetrics(const RelaydConfig& config, const RunningConfig& running) {
    if (!config.metrics_listen) return absl::OkStatus();
    auto server = MetricsServer::Open({.listen = *config.metrics_listen});
    if (!server.ok()) return server.status();
    metrics_.emplace(SOTTO_VERSION, *live_, running, control_->tasks());
    metrics_server_ = *std::move(server);
    return absl::OkStatus();
  }

  absl::Status StartEal(const RelaydConfig& config) {
    const absl::StatusOr<EalPlan> plan = PlanEal({.args = config.dataplane.eal_args,
                                                  .workers = config.dataplane.workers,
                                                  .memory_mb = MemoryMb(config)},
                                                 Machine::Detect());
    if (!plan.ok()) return plan.status();
    for (const std::string& note : plan->notes) Log(LogLevel::kInfo, note);
    absl::StatusOr<std::unique_ptr<Eal>> eal =
        Eal::Start(*plan, config.dataplane.workers, config.log.level == LogLevel::kDebug,
                   [](Eal::LogLevel, std::string_view line) {
                     Log(LogLevel::kDebug, "Message from DPDK.", {{"line", line}});
                   });
    if (!eal.ok()) return eal.status();
    eal_ = *std::move(eal);
    return absl::OkStatus();
  }

  absl::Status StartPorts(const RelaydConfig& config) {
    const std::vector<PortOptions> wanted = PortsOf(config);
    std::vector<Port> found;
    for (const PortOptions& options : wanted) {
      absl::StatusOr<Port> port = FindPort(options, eal_->RecentErrors());
      if (!port.ok()) return port.status();
      found.push_back(*std::move(port));
    }
    const absl::StatusOr<rte_mempool*> pool =
        CreatePool(found, {.mbufs = config.dataplane.mbufs,
                           .lcores = static_cast<uint16_t>(config.dataplane.workers + 1),
                           .private_size = kMbufPrivateSize});
    if (!pool.ok()) return pool.status();
    pool_ = *pool;
    for (size_t i = 0; i < found.size(); ++i) {
      const absl::StatusOr<LinkReport> link = StartPort(found[i], wanted[i], pool_, kLinkWait);
      if (!link.ok()) return link.status();
      const Port& port = ports_.emplace_back(std::move(found[i]));
      Log(link->up ? LogLevel::kInfo : LogLevel::kWarning,
          link->up ? "Started a port." : "Started a port, but it has no link.",
          {{"port", port.name},
           {"driver", port.driver},
           {"mac", port.mac.ToString()},
           {"mtu", port.mtu},
           {"queues", port.queues},
           {"checksum_offload", port.rx_udp_cksum},
           {"rss", port.rss},
           {"link_mbps", link->speed_mbps}});
    }
    return absl::OkStatus();
  }

  std::vector<InstanceLock> locks_;
  std::unique_ptr<Eal> eal_;
  rte_mempool* pool_ = nullptr;
  std::vector<Port> ports_;
  std::unique_ptr<Control> control_;
  std::optional<LiveRelay> live_;
  std::optional<Explainer> explainer_;
  std::optional<PacketCapture> capture_;
  std::unique_ptr<AdminServer> admin_;
  std::optional<DiskThread> disk_;  // with admin_
  std::optional<RelayMetrics> metrics_;
  std::unique_ptr<MetricsServer> metrics_server_;
  bool raise_for_close_ = false;
};

// The drain before the end. The control thread.
class LastDrain {
 public:
  // Called about every second from the SIGTERM that begins it on; true once the relay may end.
  bool Over(relay::Server& server, const Now& now, uint32_t drain_s, Notifier& notifier) {
    if (!deadline_) {
      deadline_ = now.monotonic_ms + uint64_t{drain_s} * 1000;
      Log(LogLevel::kInfo, "The relay drains before it stops.",
          {{"allocations", server.allocation_count()}, {"deadline_s", drain_s}});
    }
    // Nobody takes that back; but what was begun before may end sooner.
    server.Drain(std::min(server.drain().deadline.value_or(*deadline_), *deadline_), true);
    const uint32_t left = server.allocation_count();
    if (left == 0 || now.monotonic_ms >= *deadline_) return true;
    notifier.Draining(fmt::format("draining: {} allocation{} left, at most {} s", left,
                                  left == 1 ? "" : "s",
                                  (*deadline_ - now.monotonic_ms + 999) / 1000));
    return false;
  }

 private:
  std::optional<MonotonicMs> deadline_;
};

}  // namespace

uint32_t MemoryMb(const RelaydConfig& config) {
  if (config.dataplane.memory_mb != 0) return config.dataplane.memory_mb;
  std::vector<Port> ports;
  for (const PortOptions& options : PortsOf(config)) {
    Port& port = ports.emplace_back();
    port.queues = options.queues;
    port.rx_descriptors = options.rx_descriptors;
    port.tx_descriptors = options.tx_descriptors;
    // The device's own is known only later; most have this.
    port.mtu = options.mtu != 0 ? options.mtu : 1500;
  }
  PoolOptions pool;
  pool.lcores = static_cast<uint16_t>(config.dataplane.workers + 1);
  const uint32_t mbufs =
      config.dataplane.mbufs != 0 ? config.dataplane.mbufs : PoolSize(ports, pool);
  // EAL's own, drivers' rings, and what fragmentation of the heap may cost.
  constexpr uint64_t kBaseMb = 64;
  const uint64_t bytes =
      PoolBytes(mbufs, PoolDataRoom(ports), kMbufPrivateSize) + Control::TableMemory(config);
  return static_cast<uint32_t>(kBaseMb + (bytes + bytes / 4) / (1024 * 1024));
}

absl::Status RunDaemon(const std::string& config_path, const RelaydConfig& config) {
  ConfigureLog(config.log);
  absl::StatusOr<RunningConfig> running = RunningConfig::Load(config_path, config);
  if (!running.ok()) return running.status();
  for (const std::string& warning : running->config().warnings) Log(LogLevel::kWarning, warning);
  Signals signals;
  Notifier notifier;
  Relay relay;
  if (absl::Status status = relay.Start(*running); !status.ok()) return status;

  const std::string ready =
      fmt::format("{} worker{}, {} TURN address{}", config.dataplane.workers,
                  config.dataplane.workers == 1 ? "" : "s", config.server.listen.size(),
                  config.server.listen.size() == 1 ? "" : "es");
  Log(LogLevel::kInfo, "The relay is ready.", {{"serving", ready}});
  notifier.Ready(ready);
  LastDrain last_drain;
  relay.control().Run(signals.stop_fd(), [&] {
    notifier.Alive(std::chrono::steady_clock::now());
    if (signals.TakeReload()) {
      notifier.Reloading();
      running->Reload(relay.control().server()).IgnoreError();  // it has logged what came of it
      notifier.Ready(ready);
    }
    const uint32_t drain_s = running->config().drain_s;
    signals.SetDrains(drain_s > 0);
    if (signals.draining() && last_drain.Over(relay.control().server(),
                                              relay.control().CurrentTime(), drain_s, notifier)) {
      Signals::End();
    }
  });
  Log(LogLevel::kInfo, "The relay is stopping.");
  notifier.Stopping();
  return absl::OkStatus();
}

}  // namespace sotto::dataplane
