// SPDX-License-Identifier: Apache-2.0
// A packet capture file (pcap, microseconds, Ethernet) for generators that replay one: the form
// that all of them read.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sotto::tools {

class PcapWriter {
 public:
  static absl::StatusOr<PcapWriter> Create(const std::string& path);
  void Write(uint64_t time_ns, std::span<const uint8_t> frame);
  // UNAVAILABLE if anything could not be written.
  absl::Status Close();

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  PcapWriter(std::FILE* file, std::string path) : file_(file), path_(std::move(path)) {}

  std::unique_ptr<std::FILE, Closer> file_;
  std::string path_;
};

}  // namespace sotto::tools
