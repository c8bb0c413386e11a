// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/commands/capture_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace sotto::tools {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint32_t kPcapMicroseconds = 0xa1b2c3d4;
constexpr uint32_t kPcapNanoseconds = 0xa1b23c4d;
constexpr uint32_t kSectionHeader = 0x0a0d0d0a;  // the same in both byte orders
constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr uint32_t kInterfaceDescription = 1;
constexpr uint32_t kSimplePacket = 3;
constexpr uint32_t kEnhancedPacket = 6;
constexpr uint32_t kEthernet = 1;
// Frames of the largest IP packet, and blocks of whatever a writer thought worth keeping.
constexpr uint32_t kMaxFrame = 256 << 10;
constexpr uint32_t kMaxBlock = 16 << 20;
constexpr size_t kMaxInterfaces = 1024;

}  // namespace

absl::StatusOr<CaptureFile> CaptureFile::Open(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    return absl::InvalidArgumentError(
        fmt::format("{} can't be opened: {}", path, strerrordesc_np(errno)));
  }
  CaptureFile file(path, std::move(stream));
  const absl::Status status = file.ReadHeader();
  if (!status.ok()) return status;
  return file;
}

absl::Status CaptureFile::ReadHeader() {
  uint32_t magic = 0;
  if (!Read(&magic, sizeof(magic))) return Malformed("not a capture: it is empty or can't be read");
  if (magic == kSectionHeader) {
    pcapng_ = true;
    uint32_t size = 0;
    if (!Read(&size, sizeof(size))) return Malformed("cut off in its section header");
    return BeginSection(size);
  }
  const uint32_t swapped = __builtin_bswap32(magic);
  swapped_ = swapped == kPcapMicroseconds || swapped == kPcapNanoseconds;
  if (!swapped_ && magic != kPcapMicroseconds && magic != kPcapNanoseconds) {
    return Malformed("neither pcap nor pcapng");
  }
  uint32_t header[5];  // versions, zone, accuracy, snap length, link type
  if (!Read(header, sizeof(header))) return Malformed("cut off in its header");
  if ((Host(header[4]) & 0x0fffffff) != kEthernet) return Malformed("not of Ethernet");
  return absl::OkStatus();
}

absl::StatusOr<std::optional<CapturedFrame>> CaptureFile::Next() {
  return pcapng_ ? NextOfPcapng() : NextOfPcap();
}

absl::StatusOr<std::optional<CapturedFrame>> CaptureFile::NextOfPcap() {
  uint32_t header[4];  // time (two), captured, original
  if (file_.peek() == std::ifstream::traits_type::eof()) return std::nullopt;
  if (!Read(header, sizeof(header))) return Malformed("cut off in a packet's header");
  const uint32_t size = Host(header[2]);
  if (size > kMaxFrame) return Malformed("a packet is too large");
  CapturedFrame frame;
  frame.bytes.resize(size);
  frame.original_size = std::clamp(Host(header[3]), size, std::max(size, kMaxFrame));
  if (!Read(frame.bytes.data(), size)) return Malformed("cut off in a packet");
  return frame;
}

// `block_size`, as it stands in the file, has been read, and the block's type before it.
absl::Status CaptureFile::BeginSection(uint32_t block_size) {
  uint32_t order = 0;
  if (!Read(&order, sizeof(order))) return Malformed("cut off in a section header");
  if (order != kByteOrderMagic && __builtin_bswap32(order) != kByteOrderMagic) {
    return Malformed("a section header without the byte-order magic");
  }
  swapped_ = order != kByteOrderMagic;
  const uint32_t size = Host(block_size);
  if (size < 28 || size > kMaxBlock || size % 4 != 0) return Malformed("a section header's length");
  snap_lengths_.clear();
  return Skip(size - 12) ? absl::OkStatus() : Malformed("cut off in a section header");
}

absl::StatusOr<std::optional<CapturedFrame>> CaptureFile::NextOfPcapng() {
  while (true) {
    uint32_t header[2];  // type, length
    if (file_.peek() == std::ifstream::traits_type::eof()) return std::nullopt;
    if (!Read(header, sizeof(header))) return Malformed("cut off in a block's header");
    const uint32_t type = Host(header[0]);
    if (header[0] == kSectionHeader) {
      const absl::Status status = BeginSection(header[1]);
      if (!status.ok()) return status;
      continue;
    }
    const uint32_t size = Host(header[1]);
    if (size < 12 || size > kMaxBlock || size % 4 != 0) return Malformed("a block's length");
    const uint32_t body = size - 12;  // without the length, which stands again at the end
    if (type == kInterfaceDescription) {
      uint32_t fields[2];  // link type, snap length
      if (body < sizeof(fields) || !Read(fields, sizeof(fields)) ||
          !Skip(body - sizeof(fields) + 4)) {
        return Malformed("an interface description");
      }
      // The link type is of 16 bits, the other half is reserved.
      const uint32_t link = swapped_ ? Host(fields[0]) >> 16 : fields[0] & 0xffff;
      if (link != kEthernet) return Malformed("an interface is not of Ethernet");
      if (snap_lengths_.size() >= kMaxInterfaces) return Malformed("more than 1024 interfaces");
      snap_lengths_.push_back(Host(fields[1]));
      continue;
    }
    if (type != kEnhancedPacket && type != kSimplePacket) {
      if (!Skip(body + 4)) return Malformed("cut off in a block");
      continue;
    }
    uint32_t
        fields[5];  // interface, time (two), captured, original; of a simple one, original alone
    const uint32_t fixed = type == kEnhancedPacket ? 20 : 4;
    if (body < fixed || !Read(fields, fixed)) return Malformed("a packet block");
    const uint32_t interface = type == kEnhancedPacket ? Host(fields[0]) : 0;
    if (interface >= snap_lengths_.size()) return Malformed("a packet of an interface that isn't");
    const uint32_t snap = snap_lengths_[interface];
    const uint32_t original = Host(type == kEnhancedPacket ? fields[4] : fields[0]);
    const uint32_t captured = type == kEnhancedPacket ? Host(fields[3])
                              : snap == 0             ? original
                                                      : std::min(snap, original);
    if (captured > body - fixed || captured > kMaxFrame) return Malformed("a packet's length");
    CapturedFrame frame;
    frame.bytes.resize(captured);
    frame.original_size = std::clamp(original, captured, std::max(captured, kMaxFrame));
    if (!Read(frame.bytes.data(), captured) || !Skip(body - fixed - captured + 4)) {
      return Malformed("cut off in a packet");
    }
    return frame;
  }
}

absl::Status CaptureFile::Malformed(std::string_view what) const {
  return absl::InvalidArgumentError(fmt::format("{}, at byte {}: {}", path_, offset_, what));
}

bool CaptureFile::Read(void* out, size_t size) {
  file_.read(static_cast<char*>(out), static_cast<std::streamsize>(size));
  offset_ += static_cast<uint64_t>(file_.gcount());
  return static_cast<size_t>(file_.gcount()) == size;
}

bool CaptureFile::Skip(uint32_t size) {
  file_.ignore(static_cast<std::streamsize>(size));
  offset_ += static_cast<uint64_t>(file_.gcount());
  return static_cast<uint32_t>(file_.gcount()) == size;
}

}  // namespace sotto::tools
