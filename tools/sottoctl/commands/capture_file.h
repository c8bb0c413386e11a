// SPDX-License-Identifier: Apache-2.0
// Reads the frames of capture files: pcap (draft-ietf-opsawg-pcap) and pcapng
// (draft-ietf-opsawg-pcapng), of either byte order, of Ethernet. One frame is in memory at a time.
#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sotto::tools {

struct CapturedFrame {
  std::string bytes;           // from the Ethernet header on, without FCS
  uint32_t original_size = 0;  // at least bytes.size(); more if the capture cut it
};

class CaptureFile {
 public:
  // INVALID_ARGUMENT: it can't be read, or is no capture of Ethernet.
  static absl::StatusOr<CaptureFile> Open(const std::string& path);

  // Nothing at the end. INVALID_ARGUMENT names the place of what is malformed.
  absl::StatusOr<std::optional<CapturedFrame>> Next();

 private:
  CaptureFile(std::string path, std::ifstream file)
      : path_(std::move(path)), file_(std::move(file)) {}

  absl::Status ReadHeader();
  absl::StatusOr<std::optional<CapturedFrame>> NextOfPcap();
  absl::StatusOr<std::optional<CapturedFrame>> NextOfPcapng();
  absl::Status BeginSection(uint32_t block_size);
  absl::Status Malformed(std::string_view what) const;
  bool Read(void* out, size_t size);
  bool Skip(uint32_t size);
  uint32_t Host(uint32_t value) const { return swapped_ ? __builtin_bswap32(value) : value; }

  std::string path_;
  std::ifstream file_;
  uint64_t offset_ = 0;
  bool pcapng_ = false;
  bool swapped_ = false;                // against this host's byte order
  std::vector<uint32_t> snap_lengths_;  // of the section's interfaces, all of Ethernet
};

}  // namespace sotto::tools
