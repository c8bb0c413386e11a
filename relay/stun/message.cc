// SPDX-License-Identifier: Apache-2.0
#include "relay/stun/message.h"

#include <algorithm>
#include <cstring>

#include "relay/base/big_endian.h"
#include "relay/base/byte_cursor.h"
#include "relay/stun/integrity.h"

namespace sotto::relay {
namespace {

constexpr size_t kAttributeHeaderSize = 4;

constexpr size_t Padded(size_t size) { return (size + 3) & ~size_t{3}; }

// The order in which attributes may stand: each of the closing three once, in this order, and
// nothing else behind the first of them (RFC 8489, sections 14.5 to 14.7).
constexpr uint8_t Rank(StunAttributeType type) {
  switch (type) {
    case StunAttributeType::kMessageIntegrity:
      return 1;
    case StunAttributeType::kMessageIntegritySha256:
      return 2;
    case StunAttributeType::kFingerprint:
      return 3;
    default:
      return 0;
  }
}

// XORs `bytes` with the magic cookie followed by the transaction id.
void XorWithCookie(std::span<uint8_t> bytes, const TransactionId& transaction_id) {
  uint8_t mask[16];
  StoreBe32(mask, kStunMagicCookie);
  std::memcpy(mask + 4, transaction_id.data(), transaction_id.size());
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] ^= mask[i];
}

}  // namespace

bool LooksLikeStun(std::span<const uint8_t> datagram) {
  return datagram.size() >= kStunHeaderSize && (datagram[0] & 0xC0) == 0 &&
         LoadBe32(datagram.data() + 4) == kStunMagicCookie;
}

std::optional<StunMessage> StunMessage::Parse(std::span<const uint8_t> datagram) {
  if (!LooksLikeStun(datagram)) return std::nullopt;
  const uint16_t type = LoadBe16(datagram.data());
  const uint16_t length = LoadBe16(datagram.data() + 2);
  if (length % 4 != 0 || length != datagram.size() - kStunHeaderSize) return std::nullopt;

  StunMessage message;
  message.bytes_ = datagram;
  message.method_ =
      static_cast<StunMethod>((type & 0x000f) | ((type & 0x00e0) >> 1) | ((type & 0x3e00) >> 2));
  message.class_ = static_cast<StunClass>(((type & 0x0010) >> 4) | ((type & 0x0100) >> 7));
  std::memcpy(message.transaction_id_.data(), datagram.data() + 8, 12);

  ByteReader reader(datagram);
  reader.Skip(kStunHeaderSize);
  while (reader.remaining() > 0) {
    uint16_t attribute_type = 0;
    uint16_t size = 0;
    reader.ReadU16(attribute_type);
    reader.ReadU16(size);
    if (!reader.Skip(Padded(size))) return std::nullopt;
    message.types_ |= BitOf(attribute_type);
  }
  return message;
}

bool StunMessage::Next(Position& position, StunAttribute& attribute) const {
  // Parse() has checked that every attribute lies within the message.
  while (position.offset < bytes_.size()) {
    const size_t size = LoadBe16(&bytes_[position.offset + 2]);
    attribute.type = static_cast<StunAttributeType>(LoadBe16(&bytes_[position.offset]));
    attribute.value = bytes_.subspan(position.offset + kAttributeHeaderSize, size);
    attribute.offset = position.offset;
    position.offset += kAttributeHeaderSize + Padded(size);
    const uint8_t rank = Rank(attribute.type);
    if (rank > position.rank || position.rank == 0) {
      position.rank = rank;
      return true;
    }
  }
  return false;
}

std::optional<StunAttribute> StunMessage::Find(StunAttributeType type) const {
  std::optional<StunAttribute> found;
  if ((types_ & BitOf(static_cast<uint16_t>(type))) == 0) return found;
  ForEach([&](const StunAttribute& attribute) {
    if (attribute.type != type) return true;
    found = attribute;
    return false;
  });
  return found;
}

std::optional<uint32_t> StunMessage::FindU32(StunAttributeType type) const {
  const std::optional<StunAttribute> attribute = Find(type);
  if (!attribute || attribute->value.size() != 4) return std::nullopt;
  return LoadBe32(attribute->value.data());
}

std::optional<std::string_view> StunMessage::FindText(StunAttributeType type) const {
  const std::optional<StunAttribute> attribute = Find(type);
  if (!attribute) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(attribute->value.data()),
                          attribute->value.size());
}

std::optional<TransportAddress> StunMessage::FindXorAddress(StunAttributeType type) const {
  const std::optional<StunAttribute> attribute = Find(type);
  if (!attribute) return std::nullopt;
  return DecodeXorAddress(attribute->value, transaction_id_);
}

size_t EncodeXorAddress(const TransportAddress& address, const TransactionId& transaction_id,
                        std::span<uint8_t, 20> out) {
  out[0] = 0;
  out[1] = static_cast<uint8_t>(address.ip.family());
  StoreBe16(&out[2], address.port ^ static_cast<uint16_t>(kStunMagicCookie >> 16));
  const std::span<const uint8_t> ip = address.ip.bytes();
  std::copy(ip.begin(), ip.end(), out.begin() + 4);
  XorWithCookie(out.subspan(4, ip.size()), transaction_id);
  return 4 + ip.size();
}

std::optional<TransportAddress> DecodeXorAddress(std::span<const uint8_t> value,
                                                 const TransactionId& transaction_id) {
  TransportAddress address;
  if (value.size() == 8 && value[1] == static_cast<uint8_t>(IpFamily::kV4)) {
    std::array<uint8_t, 4> ip;
    std::memcpy(ip.data(), &value[4], ip.size());
    XorWithCookie(ip, transaction_id);
    address.ip = IpAddress::V4(ip);
  } else if (value.size() == 20 && value[1] == static_cast<uint8_t>(IpFamily::kV6)) {
    std::array<uint8_t, 16> ip;
    std::memcpy(ip.data(), &value[4], ip.size());
    XorWithCookie(ip, transaction_id);
    address.ip = IpAddress::V6(ip);
  } else {
    return std::nullopt;
  }
  address.port = LoadBe16(&value[2]) ^ static_cast<uint16_t>(kStunMagicCookie >> 16);
  return address;
}

StunBuilder::StunBuilder(std::span<uint8_t> buffer, StunMethod method, StunClass message_class,
                         const TransactionId& transaction_id)
    : buffer_(buffer) {
  if (buffer_.size() < kStunHeaderSize) {
    failed_ = true;
    return;
  }
  StoreBe16(&buffer_[0], EncodeStunType(method, message_class));
  StoreBe16(&buffer_[2], 0);
  StoreBe32(&buffer_[4], kStunMagicCookie);
  std::memcpy(&buffer_[8], transaction_id.data(), transaction_id.size());
  size_ = kStunHeaderSize;
}

std::span<uint8_t> StunBuilder::Reserve(StunAttributeType type, size_t size) {
  if (failed_ || size > 0xffff || kAttributeHeaderSize + Padded(size) > buffer_.size() - size_ ||
      size_ + kAttributeHeaderSize + Padded(size) - kStunHeaderSize > 0xffff) {
    failed_ = true;
    return {};
  }
  StoreBe16(&buffer_[size_], static_cast<uint16_t>(type));
  StoreBe16(&buffer_[size_ + 2], static_cast<uint16_t>(size));
  const std::span<uint8_t> value = buffer_.subspan(size_ + kAttributeHeaderSize, size);
  std::fill_n(buffer_.begin() + size_ + kAttributeHeaderSize + size, Padded(size) - size, 0);
  size_ += kAttributeHeaderSize + Padded(size);
  return value;
}

void StunBuilder::SetLength() {
  StoreBe16(&buffer_[2], static_cast<uint16_t>(size_ - kStunHeaderSize));
}

void StunBuilder::Add(StunAttributeType type, std::span<const uint8_t> value) {
  const std::span<uint8_t> out = Reserve(type, value.size());
  if (!failed_) std::copy(value.begin(), value.end(), out.begin());
}

void StunBuilder::AddText(StunAttributeType type, std::string_view value) {
  Add(type, {reinterpret_cast<const uint8_t*>(value.data()), value.size()});
}

void StunBuilder::AddU8(StunAttributeType type, uint8_t value) {
  const uint8_t bytes[4] = {value, 0, 0, 0};
  Add(type, bytes);
}

void StunBuilder::AddU32(StunAttributeType type, uint32_t value) {
  uint8_t bytes[4];
  StoreBe32(bytes, value);
  Add(type, bytes);
}

void StunBuilder::AddXorAddress(StunAttributeType type, const TransportAddress& address) {
  if (failed_) return;
  TransactionId transaction_id;
  std::memcpy(transaction_id.data(), &buffer_[8], transaction_id.size());
  uint8_t value[20];
  const size_t size = EncodeXorAddress(address, transaction_id, value);
  Add(type, std::span(value, size));
}

void StunBuilder::AddAddress(StunAttributeType type, const TransportAddress& address) {
  const std::span<const uint8_t> ip = address.ip.bytes();
  const std::span<uint8_t> out = Reserve(type, 4 + ip.size());
  if (failed_) return;
  out[0] = 0;
  out[1] = static_cast<uint8_t>(address.ip.family());
  StoreBe16(&out[2], address.port);
  std::ranges::copy(ip, out.begin() + 4);
}

void StunBuilder::AddError(int code, std::string_view reason) {
  const std::span<uint8_t> out = Reserve(StunAttributeType::kErrorCode, 4 + reason.size());
  if (failed_) return;
  out[0] = 0;
  out[1] = 0;
  out[2] = static_cast<uint8_t>(code / 100);
  out[3] = static_cast<uint8_t>(code % 100);
  std::copy(reason.begin(), reason.end(), out.begin() + 4);
}

void StunBuilder::AddIntegrity(std::span<const uint8_t> key) {
  const size_t covered = size_;
  const std::span<uint8_t> mac = Reserve(StunAttributeType::kMessageIntegrity, 20);
  if (failed_) return;
  SetLength();
  const std::span<const uint8_t> parts[] = {buffer_.first(covered)};
  HmacSha1(key, parts, mac.first<20>());
}

void StunBuilder::AddIntegritySha256(std::span<const uint8_t> key, size_t mac_size) {
  const size_t covered = size_;
  if (mac_size < 16 || mac_size > 32 || mac_size % 4 != 0) failed_ = true;
  const std::span<uint8_t> mac = Reserve(StunAttributeType::kMessageIntegritySha256, mac_size);
  if (failed_) return;
  SetLength();
  const std::span<const uint8_t> parts[] = {buffer_.first(covered)};
  uint8_t full[32];
  HmacSha256(key, parts, full);
  std::copy_n(full, mac_size, mac.begin());
}

void StunBuilder::AddFingerprint() {
  const size_t covered = size_;
  const std::span<uint8_t> value = Reserve(StunAttributeType::kFingerprint, 4);
  if (failed_) return;
  SetLength();
  StoreBe32(value.data(), Crc32(buffer_.first(covered)) ^ 0x5354554e);
}

std::span<uint8_t> StunBuilder::Finish() {
  if (failed_) return {};
  SetLength();
  return buffer_.first(size_);
}

}  // namespace sotto::relay
