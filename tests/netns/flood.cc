// SPDX-License-Identifier: Apache-2.0
// sotto-flood: sends random and mutated frames to a relay, at a steady pace, from a seed.
//
// Every frame starts as something that the relay takes (a STUN request, ChannelData, a fragment, an
// ARP request, ...) and is then spoilt to a degree: untouched, a few bytes changed, cut short, or
// replaced by noise. Checksums are mostly put right again, so that the damage is seen by the code
// behind them.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

struct Options {
  std::string interface;
  std::string mac;
  std::vector<std::string> targets;
  std::vector<uint16_t> listen_ports;
  std::vector<uint16_t> relayed_ports;
  std::vector<std::string> spared;
  uint64_t packets = 100'000;
  double pps = 10'000;
  uint64_t seed = 1;
};

Bytes PackAddress(const std::string& text) {
  Bytes packed(text.find(':') == std::string::npos ? 4 : 16);
  if (inet_pton(packed.size() == 4 ? AF_INET : AF_INET6, text.c_str(), packed.data()) != 1) {
    throw CLI::ValidationError(text, "is no IP address");
  }
  return packed;
}

void Put16(Bytes& out, size_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}

void Append(Bytes& out, const Bytes& more) { out.insert(out.end(), more.begin(), more.end()); }

uint16_t Checksum(const uint8_t* data, size_t size, uint64_t sum = 0) {
  for (size_t i = 0; i < size; ++i) sum += i % 2 == 0 ? data[i] << 8 : data[i];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

class Generator {
 public:
  Generator(const Options& options, Bytes relay_mac, Bytes own_mac)
      : options_(options),
        relay_mac_(std::move(relay_mac)),
        own_mac_(std::move(own_mac)),
        random_(options.seed) {
    for (const std::string& text : options.targets) targets_.push_back(PackAddress(text));
    for (const std::string& text : options.spared) spared_.push_back(PackAddress(text));
  }

  // The next frame: an Ethernet frame of 14 to 1514 bytes.
  Bytes Next() {
    while (true) {
      Bytes frame = Make();
      frame.resize(std::clamp<size_t>(frame.size(), 14, 1514));
      if (!TakesOverAHost(frame)) return frame;
    }
  }

 private:
  uint32_t Below(uint32_t bound) {
    return static_cast<uint32_t>(static_cast<uint64_t>(random_() & 0xffffffff) * bound >> 32);
  }
  bool OneIn(uint32_t n) { return Below(n) == 0; }
  template <typename T>
  const T& Pick(const std::vector<T>& from) {
    return from[Below(static_cast<uint32_t>(from.size()))];
  }
  Bytes Noise(size_t size) {
    Bytes noise(size);
    for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random_());
    return noise;
  }

  Bytes Make() {
    const Bytes& target = Pick(targets_);
    const bool v6 = target.size() == 16;
    Bytes frame = Ethernet(v6 ? 0x86dd : 0x0800);
    const size_t l3 = frame.size();
    switch (Below(16)) {
      case 0:
        Append(frame, Noise(Below(1500)));
        break;
      case 1:
        frame = Ethernet(0x0806);
        if (OneIn(2)) std::fill_n(frame.begin(), 6, 0xff);
        Append(frame, Arp(targets_.front()));
        Spoil(frame, 14);
        break;
      case 2:
        Append(frame, Ip(target, v6 ? 58 : 1, v6 ? Icmp6(target) : Icmp4(target)));
        break;
      case 3:
        Append(frame, Fragment(target));
        break;
      default: {
        Bytes payload = Payload();
        Spoil(payload, 0);
        Append(frame, Udp(target, payload));
        if (OneIn(4)) Spoil(frame, OneIn(8) ? 12 : l3);
      }
    }
    return frame;
  }

  Bytes Ethernet(uint16_t type) {
    Bytes frame = relay_mac_;
    Append(frame, own_mac_);
    if (OneIn(50)) {
      Put16(frame, 0x8100);
      Put16(frame, Below(0x10000));
    }
    Put16(frame, OneIn(200) ? Below(0x10000) : type);
    return frame;
  }

  // Mostly what is near the truth: a source on the same network, or one of the relay's own.
  Bytes Source(const Bytes& target) {
    if (OneIn(20)) return Noise(target.size());
    Bytes source = target;
    if (!OneIn(10)) source.back() = static_cast<uint8_t>(100 + Below(100));
    return source;
  }

  Bytes Ip(const Bytes& target, uint8_t protocol, Bytes payload) {
    const Bytes source = Source(target);
    Bytes ip;
    if (target.size() == 16) {
      ip = {0x60, 0, 0, 0};
      Put16(ip, payload.size());
      ip.push_back(protocol);
      ip.push_back(OneIn(2) ? 255 : 64);
    } else {
      const uint32_t options = OneIn(30) ? Below(11) : 0;
      ip = {static_cast<uint8_t>(0x45 + options), static_cast<uint8_t>(OneIn(10) ? random_() : 0)};
      Put16(ip, 20 + 4 * options + payload.size());
      Put16(ip, Below(0x10000));
      Put16(ip, OneIn(2) ? 0x4000 : 0);
      ip.push_back(64);
      ip.push_back(protocol);
      Put16(ip, 0);
      Append(ip, source);
      Append(ip, target);
      Append(ip, Noise(4 * options));
      const uint16_t sum = Checksum(ip.data(), ip.size());
      ip[10] = static_cast<uint8_t>(sum >> 8);
      ip[11] = static_cast<uint8_t>(sum);
      Append(ip, payload);
      return ip;
    }
    Append(ip, source);
    Append(ip, target);
    if (OneIn(30)) {  // extension headers, some of them endless
      ip[6] = static_cast<uint8_t>(std::array{0, 43, 44, 60}[Below(4)]);
      ip.push_back(protocol);
      Append(ip, Noise(7));
    }
    Append(ip, payload);
    return ip;
  }

  Bytes Udp(const Bytes& target, const Bytes& payload) {
    Bytes udp;
    Put16(udp, OneIn(100) ? 0 : 1024 + Below(60'000));
    const uint32_t which = Below(8);
    const bool relayed = which < 3 && !options_.relayed_ports.empty();
    Put16(udp, relayed      ? Pick(options_.relayed_ports)
               : which == 7 ? 49152 + Below(16384)
                            : Pick(options_.listen_ports));
    Put16(udp, OneIn(40) ? Below(2000) : 8 + payload.size());
    Put16(udp, 0);
    Append(udp, payload);
    Bytes packet = Ip(target, 17, udp);
    const size_t header = target.size() == 16 ? 40 : (packet[0] & 15) * 4;
    if (packet.size() == header + udp.size() && !OneIn(20)) FillUdpChecksum(packet, header);
    return packet;
  }

  void FillUdpChecksum(Bytes& packet, size_t header) {
    const size_t addresses = header == 40 && packet[0] >> 4 == 6 ? 8 : 12;
    const size_t size = packet[0] >> 4 == 6 ? 32 : 8;
    uint64_t sum = 17 + packet.size() - header;
    for (size_t i = 0; i < size; i += 2) {
      sum += packet[addresses + i] << 8 | packet[addresses + i + 1];
    }
    uint16_t check = Checksum(packet.data() + header, packet.size() - header, sum);
    if (check == 0) check = 0xffff;
    packet[header + 6] = static_cast<uint8_t>(check >> 8);
    packet[header + 7] = static_cast<uint8_t>(check);
  }

  Bytes Payload() {
    switch (Below(4)) {
      case 0: {  // ChannelData
        Bytes data;
        Put16(data, 0x4000 + Below(OneIn(10) ? 0x4000 : 8));
        const uint32_t size = Below(OneIn(10) ? 1400 : 200);
        Put16(data, OneIn(10) ? Below(0x10000) : size);
        Append(data, Noise(size));
        return data;
      }
      case 1:
        return Noise(Below(OneIn(10) ? 1400 : 100));
      default:
        return Stun();
    }
  }

  Bytes Stun() {
    static const std::vector<uint16_t> kTypes = {0x0001, 0x0011, 0x0101, 0x0003, 0x0004, 0x0016,
                                                 0x0016, 0x0017, 0x0008, 0x0009, 0x0003, 0x0001};
    static const std::vector<uint16_t> kAttributes = {
        0x0006, 0x0008, 0x0009, 0x000a, 0x000c, 0x000d, 0x0012, 0x0013, 0x0014, 0x0015, 0x0017,
        0x0018, 0x0019, 0x001a, 0x001c, 0x001d, 0x001e, 0x0022, 0x8000, 0x8002, 0x8022, 0x8028};
    Bytes attributes;
    for (uint32_t n = Below(8); n > 0; --n) {
      const uint16_t type = OneIn(10) ? static_cast<uint16_t>(random_()) : Pick(kAttributes);
      const uint32_t size =
          type == 0x0019 || type == 0x0017 || type == 0x000d ? 4 : Below(OneIn(8) ? 600 : 40);
      Put16(attributes, type);
      Put16(attributes, OneIn(20) ? Below(0x10000) : size);
      Append(attributes, Noise(size));
      attributes.resize((attributes.size() + 3) / 4 * 4);
    }
    Bytes message;
    Put16(message, OneIn(20) ? Below(0x4000) : Pick(kTypes));
    Put16(message, OneIn(20) ? Below(0x10000) : attributes.size());
    Append(message, {0x21, 0x12, 0xa4, 0x42});
    Append(message, Noise(12));
    Append(message, attributes);
    return message;
  }

  Bytes Arp(const Bytes& target) {
    Bytes arp = {0, 1, 8, 0, 6, 4, 0, static_cast<uint8_t>(OneIn(4) ? 2 : 1)};
    Append(arp, own_mac_);
    Append(arp, Source(target));
    Append(arp, Bytes(6));
    Append(arp, OneIn(4) ? Source(target) : target);
    return arp;
  }

  Bytes Icmp4(const Bytes& target) {
    Bytes icmp = {static_cast<uint8_t>(OneIn(2) ? 8 : 3), static_cast<uint8_t>(Below(6)), 0, 0};
    Append(icmp, Noise(4));
    Append(icmp, OneIn(2) ? Udp(target, Payload()) : Noise(Below(600)));
    return WithChecksum(icmp, 0);
  }

  Bytes Icmp6(const Bytes& target) {
    static const std::vector<uint8_t> kTypes = {128, 135, 136, 1, 2, 3, 4, 130, 133, 134, 137};
    Bytes icmp = {Pick(kTypes), static_cast<uint8_t>(OneIn(4) ? Below(8) : 0), 0, 0};
    Append(icmp, OneIn(4) ? Noise(4) : Bytes(4));
    Append(icmp, OneIn(2) ? target : Source(target));
    Append(icmp, {static_cast<uint8_t>(1 + Below(2)), static_cast<uint8_t>(Below(3))});
    Append(icmp, own_mac_);
    Append(icmp, Noise(Below(OneIn(8) ? 600 : 20)));
    // The pseudo-header's sum depends on the source, which Ip() picks: right now and then at best.
    return OneIn(2) ? WithChecksum(icmp, 58 + icmp.size()) : icmp;
  }

  Bytes WithChecksum(Bytes icmp, uint64_t sum) {
    const uint16_t check = Checksum(icmp.data(), icmp.size(), sum);
    icmp[2] = static_cast<uint8_t>(check >> 8);
    icmp[3] = static_cast<uint8_t>(check);
    return icmp;
  }

  // Pieces of datagrams with few identifiers, so that they meet: gaps, overlaps and lies included.
  Bytes Fragment(const Bytes& target) {
    const uint32_t offset = Below(OneIn(20) ? 8192 : 6) * (OneIn(4) ? 1 : 4);
    const bool more = OneIn(2);
    Bytes piece = Noise(OneIn(10) ? Below(100) : 32 * (1 + Below(4)));
    Bytes ip = Ip(target, 17, piece);
    if (target.size() == 16) {
      if (ip.size() != 40 + piece.size()) return ip;
      ip[6] = 44;
      Bytes header = {17, 0};
      Put16(header, (offset & 0x1fff) << 3 | more);
      Append(header, {0, 0, 0, static_cast<uint8_t>(Below(16))});
      ip.insert(ip.begin() + 40, header.begin(), header.end());
      const size_t size = ip.size() - 40;
      ip[4] = static_cast<uint8_t>(size >> 8);
      ip[5] = static_cast<uint8_t>(size);
      return ip;
    }
    ip[4] = 0;
    ip[5] = static_cast<uint8_t>(Below(16));
    ip[6] = static_cast<uint8_t>((offset >> 8 & 0x1f) | (more ? 0x20 : 0));
    ip[7] = static_cast<uint8_t>(offset);
    ip[10] = ip[11] = 0;
    const uint16_t sum = Checksum(ip.data(), (ip[0] & 15) * 4);
    ip[10] = static_cast<uint8_t>(sum >> 8);
    ip[11] = static_cast<uint8_t>(sum);
    return ip;
  }

  // Changes bytes from `begin` on, or cuts the rest short; leaves a third as it is.
  void Spoil(Bytes& bytes, size_t begin) {
    if (bytes.size() <= begin || OneIn(3)) return;
    const auto size = static_cast<uint32_t>(bytes.size() - begin);
    if (OneIn(5)) bytes.resize(begin + Below(size));
    for (uint32_t n = Below(6); n > 0 && bytes.size() > begin; --n) {
      const size_t at = begin + Below(static_cast<uint32_t>(bytes.size() - begin));
      bytes[at] = OneIn(2) ? static_cast<uint8_t>(random_()) : bytes[at] ^ (1 << Below(8));
    }
  }

  // On a shared network anybody can claim a neighbour's address; that's how ARP and ND are. So no
  // frame names a spared host, and none that all hosts hear claims to be the relay.
  bool TakesOverAHost(const Bytes& frame) const {
    const auto named = [](const Bytes& ip, auto begin, auto end) {
      return std::search(begin, end, ip.begin(), ip.end()) != end;
    };
    const bool all_hear = (frame[0] & 1) != 0;
    const size_t sender_end = std::min<size_t>(frame.size(), 14 + 18);
    return std::any_of(spared_.begin(), spared_.end(),
                       [&](const Bytes& ip) { return named(ip, frame.begin(), frame.end()); }) ||
           (all_hear && std::any_of(targets_.begin(), targets_.end(), [&](const Bytes& ip) {
              return named(ip, frame.begin(), frame.begin() + sender_end);
            }));
  }

  const Options& options_;
  Bytes relay_mac_;
  Bytes own_mac_;
  std::vector<Bytes> targets_;
  std::vector<Bytes> spared_;
  std::mt19937_64 random_;
};

int Fail(const std::string& what) {
  fmt::print(stderr, "sotto-flood: {}: {}\n", what, std::strerror(errno));
  return 1;
}

int Flood(const Options& options) {
  const unsigned index = if_nametoindex(options.interface.c_str());
  if (index == 0) return Fail(options.interface);
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);  // receives nothing
  if (fd < 0) return Fail("no packet socket (root only)");
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(index);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return Fail("bind");

  Bytes relay_mac(6);
  if (std::sscanf(options.mac.c_str(), "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &relay_mac[0],
                  &relay_mac[1], &relay_mac[2], &relay_mac[3], &relay_mac[4], &relay_mac[5]) != 6) {
    errno = EINVAL;
    return Fail(options.mac);
  }
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return Fail("getsockname");
  Generator generator(options, relay_mac, Bytes(address.sll_addr, address.sll_addr + 6));

  constexpr size_t kBurst = 32;
  std::array<Bytes, kBurst> frames;
  std::array<iovec, kBurst> vectors;
  std::array<mmsghdr, kBurst> messages = {};
  const auto began = std::chrono::steady_clock::now();
  uint64_t sent = 0;
  while (sent < options.packets) {
    const size_t burst = std::min<uint64_t>(kBurst, options.packets - sent);
    for (size_t i = 0; i < burst; ++i) {
      frames[i] = generator.Next();
      vectors[i] = {frames[i].data(), frames[i].size()};
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    std::this_thread::sleep_until(
        began + std::chrono::duration_cast<std::chrono::nanoseconds>(
                    std::chrono::duration<double>(static_cast<double>(sent) / options.pps)));
    for (size_t done = 0; done < burst;) {
      const int n = sendmmsg(fd, &messages[done], static_cast<unsigned>(burst - done), 0);
      if (n > 0) {
        done += static_cast<size_t>(n);
      } else if (errno == ENOBUFS) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      } else if (errno != EINTR) {
        return Fail("send");
      }
    }
    sent += burst;
  }
  fmt::print("sent {} packets\n", sent);
  close(fd);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Sends random and mutated packets to a relay (a test tool; only for networks of your own).");
  app.add_option("--interface", options.interface, "Interface to send from")->required();
  app.add_option("--mac", options.mac, "The relay's MAC address")->required();
  app.add_option("--target", options.targets, "An IP address of the relay")->required();
  app.add_option("--listen-port", options.listen_ports, "A listening port")->required();
  app.add_option("--relayed-port", options.relayed_ports, "An allocated relayed port");
  app.add_option("--spare", options.spared, "No frame contains this address");
  app.add_option("--packets", options.packets)->capture_default_str();
  app.add_option("--pps", options.pps, "Packets a second")->capture_default_str();
  app.add_option("--seed", options.seed)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return Flood(options);
  } catch (const CLI::Error& error) {
    return app.exit(error);
  }
}
