// SPDX-License-Identifier: Apache-2.0
// A UDP payload on its way from one pair of headers to another, with its checksum.
//
// The bytes of the application stay where they are and are never read: what is taken off or put in
// front is subtracted from or added to the checksum (RFC 1624), so that a corrupt packet stays
// visibly corrupt and a right one stays right.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/packet/header_template.h"
#include "dataplane/packet/parse.h"
#include "relay/base/checksum.h"

namespace sotto::dataplane {

class Payload {
 public:
  // The payload of a parsed UDP datagram. Views the frame; it has room in front (headroom) for
  // what is pushed.
  Payload(uint8_t* frame, const ParsedFrame& parsed)
      : data_(frame + parsed.payload_offset()), size_(parsed.payload_size) {
    const uint8_t* ip = frame + parsed.ip_offset;
    const uint8_t* udp = frame + parsed.udp_offset;
    std::memcpy(&checksum_, udp + 6, 2);
    const uint64_t removed = (parsed.v4 ? SumWords(ip + 12, 8) : SumWords(ip + 8, 32)) +
                             SumWords(udp, 4) + 2 * uint64_t{SumWord(LengthField())};
    delta_ = NegateSum(FoldSum(removed));
  }

  uint8_t* data() const { return data_; }
  uint16_t size() const { return size_; }

  // Takes `count` bytes off the front; `count` is even and at most size().
  void RemoveFront(uint16_t count) {
    delta_ += NegateSum(FoldSum(SumWords(data_, count)));
    data_ += count;
    size_ = static_cast<uint16_t>(size_ - count);
  }

  // Keeps the first `size` bytes.
  void Truncate(uint16_t size) {
    if (size == size_) return;
    uint16_t sum = FoldSum(SumWords(data_ + size, size_ - size));
    if (size % 2 != 0) sum = __builtin_bswap16(sum);  // it began in the middle of a word
    delta_ += NegateSum(sum);
    size_ = size;
  }

  // Writes another first word; the payload has two bytes at least.
  void ReplaceFirstWord(uint16_t word) {
    uint16_t old;
    std::memcpy(&old, data_, 2);
    delta_ += uint64_t{NegateSum(old)} + SumWord(word);
    StoreBe16(data_, word);
  }

  // Makes room for `count` bytes in front, an even number; the caller fills data() and calls
  // AddedFront(count).
  void MoveFront(uint16_t count) {
    data_ -= count;
    size_ = static_cast<uint16_t>(size_ + count);
  }
  void AddedFront(uint16_t count) { delta_ += SumWords(data_, count); }

  // `count` zero bytes were put behind the payload: they change the length alone.
  void AddedZeros(uint16_t count) { size_ = static_cast<uint16_t>(size_ + count); }

  // The UDP checksum field for this payload behind `header`. IPv4's "no checksum" stays; where
  // IPv6 must have one and there was none, it is computed in full.
  template <typename Header>
  uint16_t ChecksumBehind(const Header& header) const {
    if (checksum_ == 0) {
      if (header.v4()) return 0;
      return FullChecksum(header.sum, {data_, size_});
    }
    return UdpChecksumField(
        UpdateChecksum(checksum_, delta_ + header.sum + 2 * uint64_t{SumWord(LengthField())}));
  }

 private:
  uint16_t LengthField() const { return static_cast<uint16_t>(size_ + kUdpHeaderSize); }

  uint8_t* data_;
  uint64_t delta_;
  uint16_t size_;
  uint16_t checksum_;
};

}  // namespace sotto::dataplane
