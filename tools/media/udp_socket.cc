// SPDX-License-Identifier: Apache-2.0
#include "tools/media/udp_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/errqueue.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

namespace sotto::tools {
namespace {

// A second of traffic of one leg at any sane rate, so that a pause of this process loses nothing.
constexpr int kBufferSize = 4 * 1024 * 1024;

// Puts the calling thread into another network namespace for as long as it lives.
class NetnsScope {
 public:
  explicit NetnsScope(const std::string& name) {
    if (name.empty()) return;
    home_ = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    const int there = open(("/run/netns/" + name).c_str(), O_RDONLY | O_CLOEXEC);
    if (there < 0) {
      status_ = absl::InvalidArgumentError(
          fmt::format("there is no network namespace \"{}\" ({}); ip netns lists them", name,
                      std::strerror(errno)));
    } else if (setns(there, CLONE_NEWNET) != 0) {
      status_ = absl::PermissionDeniedError(
          fmt::format("can't enter the network namespace \"{}\" ({}); run as root", name,
                      std::strerror(errno)));
    }
    if (there >= 0) close(there);
  }
  ~NetnsScope() {
    if (home_ < 0) return;
    if (setns(home_, CLONE_NEWNET) != 0) std::abort();  // anything else would mix the hosts up
    close(home_);
  }
  NetnsScope(const NetnsScope&) = delete;
  NetnsScope& operator=(const NetnsScope&) = delete;

  const absl::Status& status() const { return status_; }

 private:
  int home_ = -1;
  absl::Status status_;
};

void SetBuffer(int fd, int force_option, int option) {
  // Root may pass the sysctl limit; others get what net.core.rmem_max and wmem_max allow.
  if (setsockopt(fd, SOL_SOCKET, force_option, &kBufferSize, sizeof(kBufferSize)) != 0) {
    setsockopt(fd, SOL_SOCKET, option, &kBufferSize, sizeof(kBufferSize));
  }
}

TransportAddress FromSockaddr(const SocketAddress& address) {
  if (address.any.sa_family == AF_INET) {
    uint8_t ip[4];
    std::memcpy(ip, &address.v4.sin_addr, sizeof(ip));
    return {IpAddress::V4(ip), ntohs(address.v4.sin_port)};
  }
  uint8_t ip[16];
  std::memcpy(ip, &address.v6.sin6_addr, sizeof(ip));
  return {IpAddress::V6(ip), ntohs(address.v6.sin6_port)};
}

}  // namespace

SocketAddress::SocketAddress(const TransportAddress& address) {
  std::memset(&v6, 0, sizeof(v6));
  const auto ip = address.ip.bytes();
  if (address.ip.is_v4()) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    std::memcpy(&v4.sin_addr, ip.data(), ip.size());
    size = sizeof(v4);
  } else {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(address.port);
    std::memcpy(&v6.sin6_addr, ip.data(), ip.size());
    size = sizeof(v6);
  }
}

bool SocketAddress::SameAs(const sockaddr& other) const {
  if (other.sa_family != any.sa_family) return false;
  if (any.sa_family == AF_INET) {
    const auto& o = reinterpret_cast<const sockaddr_in&>(other);
    return o.sin_port == v4.sin_port && o.sin_addr.s_addr == v4.sin_addr.s_addr;
  }
  const auto& o = reinterpret_cast<const sockaddr_in6&>(other);
  return o.sin6_port == v6.sin6_port &&
         std::memcmp(&o.sin6_addr, &v6.sin6_addr, sizeof(in6_addr)) == 0;
}

absl::StatusOr<UdpSocket> UdpSocket::Open(const IpAddress& local, const std::string& netns) {
  const NetnsScope scope(netns);
  if (!scope.status().ok()) return scope.status();
  SocketAddress address(TransportAddress{local, 0});
  UdpSocket result;
  result.fd_ = socket(address.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (result.fd_ < 0) {
    return absl::UnavailableError(
        fmt::format("can't open a UDP socket ({}); each call needs two: raise `ulimit -n`",
                    std::strerror(errno)));
  }
  const int on = 1;
  if (local.is_v6()) {
    setsockopt(result.fd_, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    setsockopt(result.fd_, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
  } else {
    setsockopt(result.fd_, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
  }
  SetBuffer(result.fd_, SO_RCVBUFFORCE, SO_RCVBUF);
  SetBuffer(result.fd_, SO_SNDBUFFORCE, SO_SNDBUF);
  if (setsockopt(result.fd_, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) != 0) {
    return absl::UnavailableError(
        fmt::format("the kernel does not provide receive timestamps ({})", std::strerror(errno)));
  }
  if (bind(result.fd_, &address.any, address.size) != 0) {
    return absl::InvalidArgumentError(fmt::format(
        "can't bind a UDP socket to {}{} ({}); --local must name an address of this host",
        local.ToString(), netns.empty() ? "" : " in network namespace " + netns,
        std::strerror(errno)));
  }
  getsockname(result.fd_, &address.any, &address.size);
  result.local_ = FromSockaddr(address);
  return result;
}

UdpSocket::UdpSocket(UdpSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), local_(other.local_) {}

UdpSocket::~UdpSocket() {
  if (fd_ >= 0) close(fd_);
}

int UdpSocket::Send(const SocketAddress& to, std::span<const uint8_t> datagram) const {
  // With IP_RECVERR a send reports the error of an earlier one once, and sends nothing.
  for (int attempt = 0;; ++attempt) {
    if (sendto(fd_, datagram.data(), datagram.size(), 0, &to.any, to.size) >= 0) return 0;
    const int error = errno;
    if (attempt == 2 || error == EAGAIN || error == ENOBUFS || error == EMSGSIZE) return error;
  }
}

int UdpSocket::TakeError() const {
  uint8_t control[512];
  msghdr header = {};
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  if (recvmsg(fd_, &header, MSG_ERRQUEUE) < 0) return 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
        (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
      sock_extended_err error;
      std::memcpy(&error, CMSG_DATA(c), sizeof(error));
      return static_cast<int>(error.ee_errno);
    }
  }
  return 0;
}

ReceiveBatch::ReceiveBatch(size_t max_size)
    : bytes_(kMaxDatagrams * max_size), slots_(kMaxDatagrams), headers_(kMaxDatagrams) {
  for (size_t i = 0; i < kMaxDatagrams; ++i) {
    slots_[i].buffer = {&bytes_[i * max_size], max_size};
    headers_[i].msg_hdr.msg_iov = &slots_[i].buffer;
    headers_[i].msg_hdr.msg_iovlen = 1;
    headers_[i].msg_hdr.msg_name = &slots_[i].from;
    headers_[i].msg_hdr.msg_control = slots_[i].control;
  }
  datagrams_.reserve(kMaxDatagrams);
}

std::span<const ReceiveBatch::Datagram> ReceiveBatch::Receive(const UdpSocket& socket) {
  for (mmsghdr& header : headers_) {
    header.msg_hdr.msg_namelen = sizeof(sockaddr_in6);
    header.msg_hdr.msg_controllen = sizeof(Slot::control);
  }
  const int count = recvmmsg(socket.fd(), headers_.data(), kMaxDatagrams, 0, nullptr);
  datagrams_.clear();
  for (int i = 0; i < count; ++i) {
    uint64_t time_ns = 0;
    msghdr& header = headers_[i].msg_hdr;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
      timespec time;
      std::memcpy(&time, CMSG_DATA(c), sizeof(time));
      time_ns =
          static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
    }
    datagrams_.push_back(
        {{static_cast<const uint8_t*>(slots_[i].buffer.iov_base), headers_[i].msg_len},
         reinterpret_cast<const sockaddr*>(&slots_[i].from),
         time_ns});
  }
  return datagrams_;
}

}  // namespace sotto::tools
