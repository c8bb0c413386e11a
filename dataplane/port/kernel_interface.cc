// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/kernel_interface.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dataplane/port/port.h"

namespace sotto::dataplane {

absl::StatusOr<KernelInterface> ReadKernelInterface(const std::string& name) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "can't open a socket");
  ifreq request = {};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  KernelInterface interface;
  bool known = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  interface.up = (request.ifr_flags & IFF_UP) != 0;
  known = known && ioctl(fd, SIOCGIFMTU, &request) == 0;
  interface.mtu = static_cast<uint16_t>(std::clamp(request.ifr_mtu, 0, 65535));
  const int error = errno;
  close(fd);
  if (!known) return absl::ErrnoToStatus(error, fmt::format("can't read interface {}", name));
  return interface;
}

absl::StatusOr<int> OpenMembership(const std::string& name, bool promiscuous) {
  // Protocol 0: the socket itself receives nothing.
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "can't open a packet socket");
  packet_mreq request = {};
  request.mr_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
  request.mr_type = promiscuous ? PACKET_MR_PROMISC : PACKET_MR_ALLMULTI;
  if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request)) != 0) {
    const int error = errno;
    close(fd);
    return absl::ErrnoToStatus(error, fmt::format("can't receive multicast frames on {}", name));
  }
  return fd;
}

std::vector<std::string> AddressesOfKernel(std::span<const IpAddress> addresses) {
  std::vector<std::string> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    IpAddress ip;
    if (entry->ifa_addr->sa_family == AF_INET) {
      uint8_t bytes[4];
      std::memcpy(bytes, &reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr, 4);
      ip = IpAddress::V4(std::span<const uint8_t, 4>(bytes));
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      uint8_t bytes[16];
      std::memcpy(bytes, &reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr)->sin6_addr, 16);
      ip = IpAddress::V6(std::span<const uint8_t, 16>(bytes));
    } else {
      continue;
    }
    if (std::find(addresses.begin(), addresses.end(), ip) != addresses.end()) {
      found.push_back(fmt::format("{} on {}", ip.ToString(), entry->ifa_name));
    }
  }
  freeifaddrs(list);
  return found;
}

}  // namespace sotto::dataplane
