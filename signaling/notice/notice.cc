// SPDX-License-Identifier: Apache-2.0
#include "signaling/notice/notice.h"

#include <algorithm>

#include "relay/base/big_endian.h"
#include "signaling/token/sodium.h"

namespace sotto::signaling {

static_assert(kSealedNoticeSize == kNoticeSize + crypto_box_SEALBYTES);
static_assert(std::tuple_size_v<NoticeKey> == crypto_box_PUBLICKEYBYTES);

NoticeBytes EncodeNotice(const Notice& notice) {
  NoticeBytes bytes = {};
  bytes[0] = kNoticeVersion;
  bytes[1] = static_cast<uint8_t>(notice.kind);
  StoreBe16(&bytes[2], notice.count.value());
  StoreBe32(&bytes[4], notice.minute.value());
  if (notice.caller) {
    const std::string& caller = notice.caller->id().text();
    bytes[8] = static_cast<uint8_t>(caller.size());
    std::copy_n(caller.begin(), std::min(caller.size(), kMaxAccountSize), &bytes[9]);
  }
  return bytes;
}

SealedNotice SealNotice(const Notice& notice, const NoticeKey& device) {
  EnsureSodium();
  const NoticeBytes bytes = EncodeNotice(notice);
  SealedNotice sealed;
  if (crypto_box_seal(sealed.data(), bytes.data(), bytes.size(), device.data()) != 0) {
    randombytes_buf(sealed.data(), sealed.size());
  }
  return sealed;
}

}  // namespace sotto::signaling
