// SPDX-License-Identifier: Apache-2.0
// Notices that wait for devices: added, coalesced and bounded.
//
// Calls from one caller to one device, of one kind, within one process's life, become one notice
// with a count, until it is delivered. Beyond kMaxNotices - 1 callers, calls become one notice of
// kMore. So ten thousand silenced calls cost a device 32 notices at most. Which waiting notice is
// whose is known to this process's memory alone, as keyed hashes under a key that it forgets, and
// for a bounded number of devices. Where it is forgotten, notices are coalesced anew, within the
// same bound; a full box whose notice of kMore isn't remembered stays as it is.
//
// Runs on the store's thread, within a transaction of the caller's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "signaling/notice/notice.h"
#include "signaling/store/store.h"

namespace sotto::signaling {

class NoticeBox {
 public:
  explicit NoticeBox(Store& store);
  ~NoticeBox();

  // For each device of an account, as FindAccount() gave it. Without a device, and for `pretend`,
  // the same work for a stand-in that leaves nothing behind: it seals, and runs the same
  // statements. What the work still tells is how many devices there are, beyond one.
  absl::Status Add(const AccountId& recipient, const std::vector<Device>& devices, NoticeKind kind,
                   const std::optional<VerifiedAccount>& caller, int64_t unix_s, bool pretend);

  // These were handed to the device: what comes next begins a new notice.
  void Delivered(const AccountId& account, const DeviceId& device);

  // Undoes in memory what was added since the last Committed(): its transaction failed.
  void RolledBack();
  void Committed();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto::signaling
