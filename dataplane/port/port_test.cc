// SPDX-License-Identifier: Apache-2.0
// Ports and their pool on virtual devices that need neither privileges nor a kernel interface.
#include "dataplane/port/port.h"

#include <gmock/gmock.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "dataplane/port/pool.h"
#include "dataplane/port/wake_fd.h"

namespace sotto::dataplane {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A virtual device, gone at the end of the test.
class Device {
 public:
  explicit Device(const char* name, const char* arguments = "") : name_(name) {
    EXPECT_EQ(rte_eal_hotplug_add("vdev", name, arguments), 0) << name;
  }
  ~Device() { rte_eal_hotplug_remove("vdev", name_); }

 private:
  const char* name_;
};

std::string Message(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

TEST(FindPort, NamesThePortsThatThereAre) {
  EXPECT_EQ(Message(FindPort({.name = "net_null9"}, "").status()),
            "port net_null9 does not exist; there are no ports; add --vdev=net_null9,... to "
            "[dataplane] eal_args.");
  const Device device("net_null0");
  const absl::Status status = FindPort({.name = "net_null9"}, "it broke").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), HasSubstr("there are net_null0;"));
  EXPECT_THAT(Message(status), HasSubstr("DPDK said: it broke."));
  EXPECT_THAT(Message(FindPort({.name = "0000:01:00.0"}, "").status()),
              HasSubstr("bind the NIC to vfio-pci"));
}

TEST(FindPort, RefusesMoreQueuesThanTheDeviceHas) {
  const Device device("net_ring0");
  const absl::Status status = FindPort({.name = "net_ring0", .queues = 17}, "").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status),
              HasSubstr("has 16 queues, but 17 workers need one each; lower [dataplane] workers"));
}

TEST(FindPort, GivesADeviceWithoutAMacAddressOne) {
  const Device device("net_ring0");
  const auto port = FindPort({.name = "net_ring0"}, "");
  ASSERT_TRUE(port.ok()) << port.status();
  EXPECT_NE(port->mac, MacAddress{});
  EXPECT_FALSE(port->mac.is_multicast());
  const MacAddress wanted{{0x02, 0, 0, 0, 0, 0x07}};
  EXPECT_EQ(FindPort({.name = "net_ring0", .mac = wanted}, "")->mac, wanted);
}

TEST(Port, StartsMovesPacketsAndCloses) {
  const Device device("net_null0", "size=200");
  const PortOptions options{.name = "net_null0", .queues = 2, .mtu = 1400};
  auto port = FindPort(options, "");
  ASSERT_TRUE(port.ok()) << port.status();
  EXPECT_EQ(port->driver, "net_null");
  EXPECT_EQ(port->mtu, 1400);
  EXPECT_FALSE(port->kernel_checksums);
  EXPECT_FALSE(port->privileged_close);
  const auto pool = CreatePool(std::span(&*port, 1), {.lcores = 1, .held = 64, .private_size = 32});
  ASSERT_TRUE(pool.ok()) << pool.status();
  EXPECT_EQ(rte_pktmbuf_priv_size(*pool), 32);
  const auto link = StartPort(*port, options, *pool, std::chrono::milliseconds(100));
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_TRUE(link->up);
  for (uint16_t queue = 0; queue < 2; ++queue) {
    rte_mbuf* mbufs[4];
    ASSERT_EQ(rte_eth_rx_burst(port->id, queue, mbufs, 4), 4);
    EXPECT_EQ(mbufs[0]->pkt_len, 200u);
    EXPECT_EQ(rte_eth_tx_burst(port->id, queue, mbufs, 4), 4);
  }
  ClosePort(*port);
  EXPECT_EQ(rte_eth_dev_is_valid_port(port->id), 0);
  ClosePort(*port);  // once more does nothing
  EXPECT_EQ(rte_mempool_in_use_count(*pool), 0u);
  rte_mempool_free(*pool);
}

Port Sized(uint16_t queues, uint16_t descriptors, uint16_t mtu) {
  Port port;
  port.queues = queues;
  port.rx_descriptors = port.tx_descriptors = descriptors;
  port.mtu = mtu;
  return port;
}

TEST(Pool, HasAnMbufForEveryPlaceThatHoldsOne) {
  const Port ports[] = {Sized(2, 1024, 1500), Sized(2, 512, 1500)};
  const PoolOptions options{.lcores = 3, .held = 1000};
  const uint32_t size = PoolSize(ports, options);
  EXPECT_GE(size, 2 * 2048u + 2 * 1024u + 1000u + 3 * 256u);
  EXPECT_EQ(size & (size + 1), 0u) << "one less than a power of two";
  EXPECT_GE(PoolSize(std::span(ports, 1), {.lcores = 3, .held = 9000}), 9000 + 4096u);
}

TEST(Pool, HasRoomForTheLargestFrame) {
  const Port ordinary[] = {Sized(1, 64, 1500)};
  EXPECT_EQ(PoolDataRoom(ordinary), RTE_MBUF_DEFAULT_DATAROOM);
  const Port jumbo[] = {Sized(1, 64, 1500), Sized(1, 64, 9000)};
  EXPECT_GE(PoolDataRoom(jumbo), 9000 + kFrameOverhead);
  const Port huge[] = {Sized(1, 64, 65535)};
  EXPECT_GT(PoolDataRoom(huge), 65000);
}

TEST(Pool, EstimateCoversWhatItTakes) {
  const Port ports[] = {Sized(1, 512, 1500)};
  const auto pool = CreatePool(ports, {.lcores = 1, .held = 64, .private_size = 32});
  ASSERT_TRUE(pool.ok()) << pool.status();
  const uint64_t element = rte_mempool_calc_obj_size((*pool)->elt_size, (*pool)->flags, nullptr);
  const uint64_t bytes = element * (*pool)->size;
  EXPECT_LE(bytes, PoolBytes((*pool)->size, PoolDataRoom(ports), 32));
  EXPECT_GT(bytes, PoolBytes((*pool)->size, PoolDataRoom(ports), 32) * 8 / 10);
  rte_mempool_free(*pool);
}

TEST(Pool, SaysWhatToDoWhenMemoryIsShort) {
  const Port ports[] = {Sized(1, 512, 1500)};
  const absl::Status status = CreatePool(ports, {.mbufs = 1'000'000, .lcores = 1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(status), StartsWith("can't allocate 1000000 packet buffers of "));
  EXPECT_THAT(Message(status), HasSubstr("raise [dataplane] memory_mb"));
}

TEST(WakeFd, OfANetAfPacketQueueIsReadableWhileAFrameWaits) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, for a network namespace and a packet socket";
  // On a thread of its own, whose network namespace goes with it.
  std::thread([] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq up = {.ifr_ifrn = {"lo"}, .ifr_ifru = {}};
    up.ifr_flags = IFF_UP;
    ASSERT_EQ(ioctl(udp, SIOCSIFFLAGS, &up), 0);
    const Device device("net_af_packet0", "iface=lo,qpairs=2");
    const PortOptions options{.name = "net_af_packet0", .queues = 2, .mtu = 1500};
    auto port = FindPort(options, "");
    ASSERT_TRUE(port.ok()) << port.status();
    const auto pool =
        CreatePool(std::span(&*port, 1), {.lcores = 1, .held = 64, .private_size = 32});
    ASSERT_TRUE(pool.ok()) << pool.status();
    ASSERT_TRUE(StartPort(*port, options, *pool, std::chrono::milliseconds(0)).ok());

    std::array<pollfd, 2> queues;
    for (uint16_t queue = 0; queue < 2; ++queue) {
      const auto fd = FindWakeFd(*port, queue);
      ASSERT_TRUE(fd.has_value()) << queue;
      queues[queue] = {.fd = *fd, .events = POLLIN, .revents = 0};
    }
    EXPECT_NE(queues[0].fd, queues[1].fd);
    EXPECT_FALSE(FindWakeFd(*port, 2).has_value());
    EXPECT_EQ(poll(queues.data(), queues.size(), 0), 0);

    // From many ports, so that the kernel's hash finds both queues.
    sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(0x7f000001)}, .sin_zero = {}};
    for (uint16_t number = 1; number <= 64; ++number) {
      to.sin_port = htons(number);
      ASSERT_EQ(sendto(udp, "", 0, 0, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    }
    EXPECT_EQ(poll(queues.data(), queues.size(), 0), 2);
    // Reading one queue empty silences its descriptor, and no other.
    for (uint16_t queue = 0; queue < 2; ++queue) {
      rte_mbuf* burst[32];
      while (const uint16_t count = rte_eth_rx_burst(port->id, queue, burst, 32)) {
        rte_pktmbuf_free_bulk(burst, count);
      }
      EXPECT_EQ(poll(&queues[queue], 1, 0), 0) << queue;
      EXPECT_EQ(poll(queues.data(), queues.size(), 0), 1 - queue);
    }
    ClosePort(*port);
    rte_mempool_free(*pool);
    close(udp);
  }).join();
}

TEST(WakeFd, IsNotThereWhereTheDriverHasNone) {
  const Device device("net_ring0");
  const auto port = FindPort({.name = "net_ring0"}, "");
  ASSERT_TRUE(port.ok()) << port.status();
  EXPECT_FALSE(FindWakeFd(*port, 0).has_value());
}

}  // namespace
}  // namespace sotto::dataplane
