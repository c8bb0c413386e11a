// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/pcap.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace sotto::tools {

// draft-ietf-opsawg-pcap, section 4: in the byte order of the machine that wrote it.
absl::StatusOr<PcapWriter> PcapWriter::Create(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) {
    return absl::UnavailableError(
        fmt::format("--pcap: can't write {}: {}", path, std::strerror(errno)));
  }
  PcapWriter writer(file, path);
  constexpr uint32_t kMicrosecondMagic = 0xa1b2c3d4;
  constexpr uint32_t kVersion2Dot4 = 2 | 4 << 16;
  constexpr uint32_t kEthernet = 1;
  const std::array<uint32_t, 6> header = {kMicrosecondMagic, kVersion2Dot4, 0, 0, 65'535,
                                          kEthernet};
  std::fwrite(header.data(), sizeof(header), 1, file);
  return writer;
}

void PcapWriter::Write(uint64_t time_ns, std::span<const uint8_t> frame) {
  const auto size = static_cast<uint32_t>(frame.size());
  const std::array<uint32_t, 4> record = {static_cast<uint32_t>(time_ns / 1'000'000'000),
                                          static_cast<uint32_t>(time_ns % 1'000'000'000 / 1000),
                                          size, size};
  std::fwrite(record.data(), sizeof(record), 1, file_.get());
  std::fwrite(frame.data(), frame.size(), 1, file_.get());
}

absl::Status PcapWriter::Close() {
  const bool failed = std::ferror(file_.get()) != 0;
  if ((std::fclose(file_.release()) != 0) | failed) {
    return absl::UnavailableError(
        fmt::format("--pcap: could not write all of {}; check that the disk is not full", path_));
  }
  return absl::OkStatus();
}

}  // namespace sotto::tools
