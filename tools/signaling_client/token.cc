// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/token.h"

#include <sodium.h>

#include <algorithm>

#include "relay/base/big_endian.h"

namespace sotto::tools {
namespace {

using namespace std::string_view_literals;

constexpr uint8_t kVersion = 1;
constexpr size_t kSignatureAt = 1 + 4 + 16;

std::string Tagged(std::string_view tag, std::string_view account, uint32_t epoch,
                   const TokenSerial& serial) {
  std::string bytes(tag);
  bytes.push_back(static_cast<char>(account.size()));
  bytes += account;
  uint8_t number[4];
  StoreBe32(number, epoch);
  bytes += AsString(number);
  bytes += AsString(serial);
  return bytes;
}

}  // namespace

uint32_t EpochAt(int64_t unix_s) { return static_cast<uint32_t>(unix_s / kEpochSeconds); }

TokenSerial RandomSerial() {
  TokenSerial serial;
  randombytes_buf(serial.data(), serial.size());
  return serial;
}

std::string SignedPartOfToken(std::string_view account, uint32_t epoch, const TokenSerial& serial) {
  return Tagged("sotto privacy token v1\0"sv, account, epoch, serial);
}

Hash NullifierOf(std::string_view account, uint32_t epoch, const TokenSerial& serial) {
  return Blake2b(AsBytes(Tagged("sotto nullifier v1\0"sv, account, epoch, serial)));
}

std::string IssueToken(const SignKeyPair& key, std::string_view account, uint32_t epoch,
                       const TokenSerial& serial) {
  std::string token(kTokenSize, '\0');
  auto* bytes = reinterpret_cast<uint8_t*>(token.data());
  bytes[0] = kVersion;
  StoreBe32(bytes + 1, epoch);
  std::copy(serial.begin(), serial.end(), bytes + 5);
  const std::string signed_part = SignedPartOfToken(account, epoch, serial);
  crypto_sign_detached(bytes + kSignatureAt, nullptr, AsBytes(signed_part).data(),
                       signed_part.size(), key.secret_key.data());
  return token;
}

std::optional<TokenFields> ReadToken(std::string_view token) {
  if (token.size() != kTokenSize || static_cast<uint8_t>(token[0]) != kVersion) return std::nullopt;
  TokenFields fields;
  fields.epoch = LoadBe32(AsBytes(token).data() + 1);
  std::copy_n(token.begin() + 5, fields.serial.size(), fields.serial.begin());
  return fields;
}

}  // namespace sotto::tools
