// SPDX-License-Identifier: Apache-2.0
#include "relay/stun/integrity.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "relay/base/big_endian.h"

namespace sotto::relay {
namespace {

constexpr size_t kBlockSize = 64;  // of SHA-1 and of SHA-256
constexpr size_t kSha1Size = 20;
constexpr size_t kSha256Size = 32;

// A digest that fails would leave a MAC of stale bytes, so there is no going on without it.
void Require(bool ok) {
  if (ok) return;
  std::fputs("OpenSSL can't compute SHA-1 or SHA-256; is its provider disabled (FIPS)?\n", stderr);
  std::abort();
}

// One digest context per thread: OpenSSL 3's HMAC functions look the algorithm up and allocate on
// every call, which costs several times the hash itself.
class Hasher {
 public:
  explicit Hasher(const char* name)
      : digest_(EVP_MD_fetch(nullptr, name, nullptr)), context_(EVP_MD_CTX_new()) {
    Require(digest_ != nullptr && context_ != nullptr);
  }
  ~Hasher() {
    EVP_MD_CTX_free(context_);
    EVP_MD_free(digest_);
  }
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  // HMAC (RFC 2104) with a digest of 64-byte blocks, as SHA-1 and SHA-256 are.
  void Hmac(std::span<const uint8_t> key, std::span<const std::span<const uint8_t>> parts,
            std::span<uint8_t> out) {
    std::array<uint8_t, kBlockSize> block = {};
    if (key.size() > block.size()) {
      Begin(key);
      End(block.data());
    } else {
      std::copy(key.begin(), key.end(), block.begin());
    }
    for (uint8_t& byte : block) byte ^= 0x36;
    Begin(block);
    for (std::span<const uint8_t> part : parts) Add(part);
    End(out.data());
    for (uint8_t& byte : block) byte ^= 0x36 ^ 0x5c;
    Begin(block);
    Add(out);
    End(out.data());
    OPENSSL_cleanse(block.data(), block.size());
  }

 private:
  void Begin(std::span<const uint8_t> bytes) {
    Require(EVP_DigestInit_ex2(context_, digest_, nullptr) == 1);
    Add(bytes);
  }
  void Add(std::span<const uint8_t> bytes) {
    Require(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1);
  }
  void End(uint8_t* out) { Require(EVP_DigestFinal_ex(context_, out, nullptr) == 1); }

  EVP_MD* digest_;
  EVP_MD_CTX* context_;
};

// The message up to the integrity attribute, with the length field as if the attribute were the
// last one: what its MAC covers.
struct Covered {
  std::array<uint8_t, kStunHeaderSize> header;
  std::span<const uint8_t> attributes;
};

Covered CoveredBy(const StunMessage& message, const StunAttribute& attribute) {
  Covered covered;
  const std::span<const uint8_t> bytes = message.bytes();
  std::copy_n(bytes.begin(), kStunHeaderSize, covered.header.begin());
  const size_t end = attribute.offset + 4 + attribute.value.size();
  StoreBe16(&covered.header[2], static_cast<uint16_t>(end - kStunHeaderSize));
  covered.attributes = bytes.subspan(kStunHeaderSize, attribute.offset - kStunHeaderSize);
  return covered;
}

}  // namespace

void HmacSha1(std::span<const uint8_t> key, std::span<const std::span<const uint8_t>> parts,
              std::span<uint8_t, 20> out) {
  thread_local Hasher hasher("SHA1");
  hasher.Hmac(key, parts, out);
}

void HmacSha256(std::span<const uint8_t> key, std::span<const std::span<const uint8_t>> parts,
                std::span<uint8_t, 32> out) {
  thread_local Hasher hasher("SHA256");
  hasher.Hmac(key, parts, out);
}

bool VerifyIntegrity(const StunMessage& message, std::span<const uint8_t> key) {
  const auto attribute = message.Find(StunAttributeType::kMessageIntegrity);
  if (!attribute || attribute->value.size() != kSha1Size) return false;
  const Covered covered = CoveredBy(message, *attribute);
  const std::span<const uint8_t> parts[] = {covered.header, covered.attributes};
  std::array<uint8_t, kSha1Size> mac;
  HmacSha1(key, parts, mac);
  return CRYPTO_memcmp(mac.data(), attribute->value.data(), mac.size()) == 0;
}

bool VerifyIntegritySha256(const StunMessage& message, std::span<const uint8_t> key) {
  const auto attribute = message.Find(StunAttributeType::kMessageIntegritySha256);
  // RFC 8489, section 14.6: truncated to no less than 16 bytes, and a multiple of 4.
  if (!attribute || attribute->value.size() < 16 || attribute->value.size() > kSha256Size ||
      attribute->value.size() % 4 != 0) {
    return false;
  }
  const Covered covered = CoveredBy(message, *attribute);
  const std::span<const uint8_t> parts[] = {covered.header, covered.attributes};
  std::array<uint8_t, kSha256Size> mac;
  HmacSha256(key, parts, mac);
  return CRYPTO_memcmp(mac.data(), attribute->value.data(), attribute->value.size()) == 0;
}

// Eight bytes at a time: table k holds what a byte does to the checksum k bytes further on.
uint32_t Crc32(std::span<const uint8_t> bytes) {
  static constexpr std::array<std::array<uint32_t, 256>, 8> kTables = [] {
    std::array<std::array<uint32_t, 256>, 8> tables = {};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0xEDB88320u : 0);
      tables[0][i] = crc;
    }
    for (size_t k = 1; k < 8; ++k) {
      for (size_t i = 0; i < 256; ++i) {
        const uint32_t before = tables[k - 1][i];
        tables[k][i] = (before >> 8) ^ tables[0][before & 0xff];
      }
    }
    return tables;
  }();
  uint32_t crc = 0xffffffff;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    uint32_t next = 0;
    for (size_t i = 0; i < 4; ++i) {
      next ^= kTables[7 - i][bytes[i] ^ ((crc >> (8 * i)) & 0xff)] ^ kTables[3 - i][bytes[4 + i]];
    }
    crc = next;
  }
  for (uint8_t byte : bytes) crc = (crc >> 8) ^ kTables[0][(crc ^ byte) & 0xff];
  return ~crc;
}

bool VerifyFingerprint(const StunMessage& message) {
  const auto attribute = message.Find(StunAttributeType::kFingerprint);
  if (!attribute || attribute->value.size() != 4 ||
      attribute->offset + 8 != message.bytes().size()) {
    return false;
  }
  const uint32_t expected = Crc32(message.bytes().first(attribute->offset)) ^ 0x5354554e;
  return LoadBe32(attribute->value.data()) == expected;
}

}  // namespace sotto::relay
