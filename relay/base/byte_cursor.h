// SPDX-License-Identifier: Apache-2.0
// Cursors over bytes that can't run off the end.
//
// Each operation returns false once it would pass the end; from then on the cursor has failed and
// every further operation fails too, so a parser may check once, after its last read. Neither
// cursor owns its bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "relay/base/big_endian.h"

namespace sotto {

class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool ReadU8(uint8_t& out) {
    if (!Take(1)) return false;
    out = bytes_[position_ - 1];
    return true;
  }
  bool ReadU16(uint16_t& out) {
    if (!Take(2)) return false;
    out = LoadBe16(&bytes_[position_ - 2]);
    return true;
  }
  bool ReadU32(uint32_t& out) {
    if (!Take(4)) return false;
    out = LoadBe32(&bytes_[position_ - 4]);
    return true;
  }
  bool ReadU64(uint64_t& out) {
    if (!Take(8)) return false;
    out = LoadBe64(&bytes_[position_ - 8]);
    return true;
  }
  // `out` views the reader's bytes and lives as long as they do.
  bool ReadBytes(size_t count, std::span<const uint8_t>& out) {
    if (!Take(count)) return false;
    out = bytes_.subspan(position_ - count, count);
    return true;
  }
  bool Skip(size_t count) { return Take(count); }

  bool failed() const { return failed_; }
  size_t position() const { return position_; }
  size_t remaining() const { return failed_ ? 0 : bytes_.size() - position_; }

 private:
  bool Take(size_t count) {
    if (failed_ || count > bytes_.size() - position_) {
      failed_ = true;
      return false;
    }
    position_ += count;
    return true;
  }

  std::span<const uint8_t> bytes_;
  size_t position_ = 0;
  bool failed_ = false;
};

class ByteWriter {
 public:
  explicit ByteWriter(std::span<uint8_t> out) : out_(out) {}

  bool WriteU8(uint8_t v) {
    if (!Take(1)) return false;
    out_[position_ - 1] = v;
    return true;
  }
  bool WriteU16(uint16_t v) {
    if (!Take(2)) return false;
    StoreBe16(&out_[position_ - 2], v);
    return true;
  }
  bool WriteU32(uint32_t v) {
    if (!Take(4)) return false;
    StoreBe32(&out_[position_ - 4], v);
    return true;
  }
  bool WriteU64(uint64_t v) {
    if (!Take(8)) return false;
    StoreBe64(&out_[position_ - 8], v);
    return true;
  }
  bool WriteBytes(std::span<const uint8_t> bytes) {
    if (!Take(bytes.size())) return false;
    if (!bytes.empty()) std::memcpy(&out_[position_ - bytes.size()], bytes.data(), bytes.size());
    return true;
  }
  bool WriteBytes(std::string_view bytes) {
    return WriteBytes({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  }
  bool WriteZeros(size_t count) {
    if (!Take(count)) return false;
    if (count > 0) std::memset(&out_[position_ - count], 0, count);
    return true;
  }

  bool failed() const { return failed_; }
  size_t position() const { return position_; }
  std::span<uint8_t> written() const { return out_.first(position_); }

 private:
  bool Take(size_t count) {
    if (failed_ || count > out_.size() - position_) {
      failed_ = true;
      return false;
    }
    position_ += count;
    return true;
  }

  std::span<uint8_t> out_;
  size_t position_ = 0;
  bool failed_ = false;
};

}  // namespace sotto
