// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/notice.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <array>

#include "relay/base/byte_cursor.h"

namespace sotto::tools {

absl::StatusOr<OpenedNotice> OpenNotice(std::string_view sealed, const BoxKeyPair& device) {
  std::array<uint8_t, kSealedNoticeSize - crypto_box_SEALBYTES> plain;
  if (sealed.size() != kSealedNoticeSize) {
    return absl::InvalidArgumentError(fmt::format("a notice must have {} bytes, but this has {}",
                                                  kSealedNoticeSize, sealed.size()));
  }
  if (crypto_box_seal_open(plain.data(), AsBytes(sealed).data(), sealed.size(),
                           device.public_key.data(), device.secret_key.data()) != 0) {
    return absl::InvalidArgumentError("the notice was not sealed to this device, or was altered");
  }
  ByteReader reader(plain);
  uint8_t version = 0, kind = 0, caller_size = 0;
  OpenedNotice notice;
  std::span<const uint8_t> caller, zeros;
  reader.ReadU8(version);
  reader.ReadU8(kind);
  reader.ReadU16(notice.count);
  reader.ReadU32(notice.minute);
  reader.ReadU8(caller_size);
  reader.ReadBytes(64, caller);
  reader.ReadBytes(23, zeros);
  const auto is_zero = [](uint8_t byte) { return byte == 0; };
  if (reader.failed() || version != 1 || kind < 1 || kind > 3 || notice.count == 0 ||
      caller_size > caller.size() ||
      !std::all_of(caller.begin() + caller_size, caller.end(), is_zero) ||
      !std::all_of(zeros.begin(), zeros.end(), is_zero)) {
    return absl::InvalidArgumentError("the notice is not a valid notice of version 1");
  }
  notice.kind = static_cast<OpenedNotice::Kind>(kind);
  notice.caller = AsString(caller.first(caller_size));
  if ((notice.kind == OpenedNotice::Kind::kMore) != notice.caller.empty() ||
      (!notice.caller.empty() && !IsAccountName(notice.caller))) {
    return absl::InvalidArgumentError(
        "the notice names an account where it must not, or names none where it must");
  }
  return notice;
}

}  // namespace sotto::tools
