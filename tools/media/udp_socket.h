// SPDX-License-Identifier: Apache-2.0
// Kernel UDP sockets as the load generator needs them: unconnected, so that a packet from a
// stranger is seen rather than filtered; non-blocking; with kernel receive timestamps.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "relay/base/ip_address.h"

namespace sotto::tools {

// A transport address in the kernel's form.
struct SocketAddress {
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  socklen_t size = 0;

  explicit SocketAddress(const TransportAddress& address);
  bool SameAs(const sockaddr& other) const;  // address and port
};

class UdpSocket {
 public:
  // Binds to `local` and a port that the kernel chooses, in the network namespace
  // /run/netns/`netns` (empty: this one). INVALID_ARGUMENT, PERMISSION_DENIED or UNAVAILABLE with a
  // sentence.
  static absl::StatusOr<UdpSocket> Open(const IpAddress& local, const std::string& netns);

  UdpSocket(UdpSocket&& other) noexcept;
  UdpSocket& operator=(UdpSocket&&) = delete;
  ~UdpSocket();

  int fd() const { return fd_; }
  const TransportAddress& local_address() const { return local_; }

  // 0, or the errno value. A pending ICMP error is taken off the socket first.
  int Send(const SocketAddress& to, std::span<const uint8_t> datagram) const;
  // The oldest ICMP (or local) error about something that was sent, as an errno value; 0: none.
  int TakeError() const;

 private:
  UdpSocket() = default;
  int fd_ = -1;
  TransportAddress local_;
};

// Receives many datagrams in one call, into its own buffers.
class ReceiveBatch {
 public:
  static constexpr size_t kMaxDatagrams = 32;

  struct Datagram {
    std::span<const uint8_t> bytes;  // until the next Receive()
    const sockaddr* from;
    uint64_t time_ns;  // CLOCK_REALTIME when the kernel's network stack took it in
  };

  // Longer datagrams than `max_size` come cut off.
  explicit ReceiveBatch(size_t max_size);

  // What waits in the socket, at most kMaxDatagrams; the view lives until the next call.
  std::span<const Datagram> Receive(const UdpSocket& socket);

 private:
  struct Slot {
    iovec buffer;
    sockaddr_in6 from;
    alignas(cmsghdr) uint8_t control[64];
  };
  std::vector<uint8_t> bytes_;
  std::vector<Slot> slots_;
  std::vector<mmsghdr> headers_;
  std::vector<Datagram> datagrams_;
};

}  // namespace sotto::tools
