// SPDX-License-Identifier: Apache-2.0
// The keys of accounts that have none: always the same for a name, and nobody has their secrets.
#pragma once

#include "signaling/decision/decider.h"
#include "signaling/identity/account.h"
#include "signaling/store/store.h"

namespace sotto::signaling {

// Seeds are BLAKE2b-512 of the account, keyed with `key`; the first half is that of the X25519 key
// pair, the second that of the Ed25519 one. Both are forgotten. Any thread.
AccountPublicKeys StandInKeys(const ServerKey& key, const AccountId& account);

}  // namespace sotto::signaling
