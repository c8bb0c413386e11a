#include "dataplane/relayd/daemon.h"

#include <fmt/format.h>
#include <grp.h>
#include <rte_mempool.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <vector>

#include "dataplane/eal/eal.h"
#include "dataplane/port/pool.h"
#include "dataplane/port/port.h"
#include "dataplane/relayd/admin_server.h"
#include "dataplane/relayd/control.h"
#include "relay/daemon/instance_lock.h"
#include "relay/daemon/log.h"
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
    action.sa_handler = [](int) {
      const uint64_t one = 1;
      [[maybe_unused]] const ssize_t written = write(stop_fd_, &one, sizeof(one));
    };
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
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

  // Readable from the first SIGTERM or SIGINT on.
  int stop_fd() const { return stop_fd_; }
  bool TakeReload() { return reload_.exchange(false, std::memory_order_relaxed); }

 private:
  // Signal handlers write, the main thread reads.
  static inline int stop_fd_ = -1;
  static inline std::atomic<bool> reload_ = false;
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
                          Text(lock.status()) + "; end that, or name another.");
    }
    locks.push_back(*std::move(lock));
  }
  return locks;
}

absl::Status CheckAddresses(const RelaydConfig& config) {
  std::vector<relay::IpAddress> addresses;
  for (const InterfaceConfig& interface : config.interfaces) {
    for (const InterfaceConfig::Address& address : interface.addresses) {
      addresses.push_back(address.ip);
    }
  }
  const std::vector<std::string> taken = AddressesOfKernel(addresses);
  if (taken.empty()) return absl::OkStatus();
  return absl::AlreadyExistsError(fmt::format(
      "address in use: the kernel has {}; take it away with ip address del, or give the "
      "relay another.",
      fmt::join(taken, " and ")));
}

absl::StatusOr<AdminServerOptions> AdminOptionsOf(const RelaydConfig& config) {
  AdminServerOptions options;
  options.call_control.version = SOTTO_VERSION;
  options.listen = config.admin.listen;
  options.tls = config.admin.tls;
  if (config.admin.socket.empty()) return options;
  const absl::StatusOr<RunAs> run_as = WillRunAs({.user = config.user});
  if (!run_as.ok()) return run_as.status();
  options.socket = {.path = config.admin.socket, .owner = run_as->uid, .group = run_as->gid};
  if (!config.admin.group.empty()) {
    const group* found = getgrnam(config.admin.group.c_str());
    if (found == nullptr) {
      return absl::NotFoundError(
          fmt::format("[admin] group: there is no group {}; groupadd --system {}, or name another.",
                      config.admin.group, config.admin.group));
    }
    options.socket->group = found->gr_gid;
  }
  return options;
}

// What is open, in the order in which it was opened; closed the other way round.
class Relay {
 public:
  ~Relay() {
    if (admin_) admin_->Stop(control_->server(), control_->Now());
    admin_.reset();
    if (control_) control_->Stop();
    control_.reset();
    if (raise_for_close_) RaiseForClose();
    for (auto port = ports_.rbegin(); port != ports_.rend(); ++port) ClosePort(*port);
    rte_mempool_free(pool_);
  }

  absl::Status Start(const RelaydConfig& config) {
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
    if (absl::Status status = OpenAdmin(config); !status.ok()) return status;

    PrivilegeOptions privileges = early;
    for (const Port& port : ports_) privileges.keep_for_close |= port.privileged_close;
    const absl::StatusOr<std::string> left = DropPrivileges(privileges);
    if (!left.ok()) {
      return absl::Status(left.status().code(),
                          "privileges can't be given up: " + Text(left.status()));
    }
    raise_for_close_ = privileges.keep_for_close;
    Log(LogLevel::kInfo, "Privileges are given up.", {{"left", *left}});
    return admin_ ? admin_->Serve(control_->server(), control_->Now()) : absl::OkStatus();
  }

  Control& control() { return *control_; }
  Eal& eal() { return *eal_; }

 private:
  absl::Status OpenAdmin(const RelaydConfig& config) {
    if (config.admin.socket.empty() && !config.admin.listen) return absl::OkStatus();
    const absl::StatusOr<AdminServerOptions> options = AdminOptionsOf(config);
    if (!options.ok()) return options.status();
    absl::StatusOr<std::unique_ptr<AdminServer>> admin =
        AdminServer::Open(*options, control_->tasks());
    if (!admin.ok()) return admin.status();
    admin_ = *std::move(admin);
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
                     Log(LogLevel::kDebug, "DPDK says.", {{"line", line}});
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
          link->up ? "A port is started." : "A port is started, but has no link.",
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
  std::unique_ptr<AdminServer> admin_;
  bool raise_for_close_ = false;
};

// Takes over what may change while the relay runs, and says what may not.
void Reload(const std::string& path, const RelaydConfig& running, Eal& eal) {
  const absl::StatusOr<RelaydConfig> wanted = LoadConfig(path);
  if (!wanted.ok()) {
    Log(LogLevel::kError, "The configuration was not reloaded; nothing has changed.",
        {{"error", Text(wanted.status())}});
    return;
  }
  ConfigureLog(wanted->log);
  eal.SetVerbose(wanted->log.level == LogLevel::kDebug);
  for (const std::string& key : ChangedInitOnlyKeys(running, *wanted)) {
    Log(LogLevel::kWarning, "A changed key takes effect only at the next start.", {{"key", key}});
  }
  Log(LogLevel::kInfo, "The configuration is reloaded.");
}

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
  for (const std::string& warning : config.warnings) Log(LogLevel::kWarning, warning);
  if (config.metrics_listen) {
    Log(LogLevel::kInfo,
        "This version serves no metrics yet; [metrics] is checked and kept for the one that does.");
  }
  Signals signals;
  Notifier notifier;
  Relay relay;
  if (absl::Status status = relay.Start(config); !status.ok()) return status;

  const std::string ready =
      fmt::format("{} worker{}, {} TURN address{}", config.dataplane.workers,
                  config.dataplane.workers == 1 ? "" : "s", config.server.listen.size(),
                  config.server.listen.size() == 1 ? "" : "es");
  Log(LogLevel::kInfo, "The relay is ready.", {{"serving", ready}});
  notifier.Ready(ready);
  relay.control().Run(signals.stop_fd(), [&] {
    notifier.Alive(std::chrono::steady_clock::now());
    if (signals.TakeReload()) {
      notifier.Reloading();
      Reload(config_path, config, relay.eal());
      notifier.Ready(ready);
    }
  });
  Log(LogLevel::kInfo, "The relay is stopping.");
  notifier.Stopping();
  return absl::OkStatus();
}

}  // namespace sotto::dataplane
