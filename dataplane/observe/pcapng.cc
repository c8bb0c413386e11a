// SPDX-License-Identifier: Apache-2.0
#include "dataplane/observe/pcapng.h"

namespace sotto::dataplane {
namespace {

constexpr uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr uint32_t kInterfaceDescription = 1;
constexpr uint32_t kEnhancedPacket = 6;
constexpr uint16_t kEthernet = 1;

constexpr uint16_t kEndOfOptions = 0;
constexpr uint16_t kComment = 1;
constexpr uint16_t kInterfaceName = 2;
constexpr uint16_t kPacketFlags = 2;
constexpr uint16_t kUserApplication = 4;
constexpr uint16_t kTimeResolution = 9;
constexpr uint32_t kInbound = 1;
constexpr uint32_t kOutbound = 2;

// From its type to the length that stands again at its end.
class Block {
 public:
  Block(uint32_t type, std::string& out) : out_(out), start_(out.size()) {
    Put(type);
    Put(uint32_t{0});
  }
  ~Block() {
    const auto size = static_cast<uint32_t>(out_.size() - start_ + sizeof(uint32_t));
    out_.replace(start_ + sizeof(uint32_t), sizeof(size), Bytes(size), sizeof(size));
    Put(size);
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  template <typename Integer>
  void Put(Integer value) {
    out_.append(Bytes(value), sizeof(value));
  }
  void PutPadded(std::string_view bytes) {
    out_.append(bytes);
    out_.append((4 - bytes.size() % 4) % 4, '\0');
  }
  void PutOption(uint16_t code, std::string_view value) {
    value = value.substr(0, UINT16_MAX);
    Put(code);
    Put(static_cast<uint16_t>(value.size()));
    PutPadded(value);
  }
  void EndOptions() { PutOption(kEndOfOptions, {}); }

 private:
  template <typename Integer>
  static const char* Bytes(const Integer& value) {
    return reinterpret_cast<const char*>(&value);
  }

  std::string& out_;
  const size_t start_;
};

}  // namespace

void AppendPcapngSection(std::string_view application, std::string& out) {
  Block block(kSectionHeader, out);
  block.Put(kByteOrderMagic);
  block.Put(uint16_t{1});  // version 1.0
  block.Put(uint16_t{0});
  block.Put(UINT64_MAX);  // the section's length isn't known yet
  block.PutOption(kUserApplication, application);
  block.EndOptions();
}

void AppendPcapngInterface(std::string_view name, uint32_t snap_length, std::string& out) {
  Block block(kInterfaceDescription, out);
  block.Put(kEthernet);
  block.Put(uint16_t{0});
  block.Put(snap_length);
  block.PutOption(kInterfaceName, name);
  block.PutOption(kTimeResolution, "\x09");  // 10^-9 s
  block.EndOptions();
}

void AppendPcapngPacket(const PcapngPacket& packet, std::string& out) {
  Block block(kEnhancedPacket, out);
  block.Put(packet.interface);
  block.Put(static_cast<uint32_t>(packet.unix_ns >> 32));
  block.Put(static_cast<uint32_t>(packet.unix_ns));
  block.Put(static_cast<uint32_t>(packet.bytes.size()));
  block.Put(packet.original_size);
  block.PutPadded({reinterpret_cast<const char*>(packet.bytes.data()), packet.bytes.size()});
  const uint32_t flags = packet.outbound ? kOutbound : kInbound;
  block.PutOption(kPacketFlags, {reinterpret_cast<const char*>(&flags), sizeof(flags)});
  if (!packet.comment.empty()) block.PutOption(kComment, packet.comment);
  block.EndOptions();
}

}  // namespace sotto::dataplane
