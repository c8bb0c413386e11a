// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/wake_fd.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string>
#include <vector>

namespace sotto::dataplane {
namespace {

// In the order in which they were opened.
std::vector<int> OpenFds() {
  std::vector<int> fds;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    const std::string name = entry.path().filename();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    fds.push_back(fd);
  }
  std::sort(fds.begin(), fds.end());
  return fds;
}

int DomainOf(int fd) {
  int domain = -1;
  socklen_t size = sizeof(domain);
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 ? domain : -1;
}

// Bound to the interface, and for frames: a membership's socket is bound to nothing.
bool ReceivesFrom(int fd, unsigned interface) {
  sockaddr_ll address = {};
  socklen_t size = sizeof(address);
  return getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
         address.sll_ifindex == static_cast<int>(interface) && address.sll_protocol != 0;
}

}  // namespace

std::optional<int> FindWakeFd(const Port& port, uint16_t queue) {
  if (port.kernel_interface.empty()) return std::nullopt;
  std::vector<int> sockets;
  if (port.driver == "net_af_packet") {
    const unsigned interface = if_nametoindex(port.kernel_interface.c_str());
    for (const int fd : OpenFds()) {
      if (DomainOf(fd) == AF_PACKET && ReceivesFrom(fd, interface)) sockets.push_back(fd);
    }
    // A fanout group of qpairs sockets, one a queue.
    if (sockets.size() < port.queues) return std::nullopt;
  } else if (port.driver == "net_af_xdp") {
    for (const int fd : OpenFds()) {
      if (DomainOf(fd) == AF_XDP) sockets.push_back(fd);
    }
    // They don't say what they are bound to: only a single one is known.
    if (sockets.size() != 1 || port.queues != 1) return std::nullopt;
  }
  return queue < sockets.size() ? std::optional(sockets[queue]) : std::nullopt;
}

}  // namespace sotto::dataplane
