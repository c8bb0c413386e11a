// SPDX-License-Identifier: Apache-2.0
// The bodies of calls: padded, signed, sealed and opened (docs/protocol.md, "Bodies"), and
// invitations. Whatever comes from the other side is checked field by field before it is handed
// out. Nothing here keeps state; any thread. Errors are INVALID_ARGUMENT and say what was wrong.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "signaling/api/call_body.pb.h"
#include "tools/signaling_client/keys.h"

namespace sotto::tools {

// What goes end to end.
namespace e2e = ::sotto::call_body::v1;

// Sizes that a sealed body may have: 512, 1024, 2048, 4096, 8192 or 16384.
bool IsBodySize(size_t size);

struct SealedBody {
  std::string bytes;
  Hash hash = {};  // of an offer: what the answer and the media keys are bound to
};

// RESOURCE_EXHAUSTED if the content fits no size.
absl::StatusOr<SealedBody> SealOffer(const e2e::Offer& offer, const SignKeyPair& caller,
                                     const Key& recipient_box);
absl::StatusOr<SealedBody> SealAnswer(const e2e::Answer& answer, const SignKeyPair& recipient,
                                      const Key& offer_box);
absl::StatusOr<SealedBody> SealCandidates(const e2e::Candidates& candidates,
                                          const SignKeyPair& sender, const Key& peer_box);

// `caller` is the account that the server named. `contact` are the keys that the caller is known
// by, if it is: an offer under other keys is refused.
absl::StatusOr<e2e::Offer> OpenOffer(std::string_view sealed, const BoxKeyPair& recipient_box,
                                     std::string_view caller, std::string_view recipient,
                                     const std::optional<AccountPublicKeys>& contact);
// `recipient_sign` is what the offer was made for.
absl::StatusOr<e2e::Answer> OpenAnswer(std::string_view sealed, const BoxKeyPair& offer_box,
                                       const Key& recipient_sign, std::string_view caller,
                                       std::string_view recipient, const Hash& offer_hash);
absl::StatusOr<e2e::Candidates> OpenCandidates(std::string_view sealed, const BoxKeyPair& own_box,
                                               const Key& peer_sign, const Hash& offer_hash);

absl::Status CheckMedia(const e2e::Media& media);

// `origin` is that of the client's page: "https://example.org".
std::string InvitationLink(std::string_view origin, const e2e::Invitation& invitation);
// Takes a whole link, or what follows "#i=".
absl::StatusOr<e2e::Invitation> ReadInvitation(std::string_view link);
absl::Status CheckInvitation(const e2e::Invitation& invitation);

}  // namespace sotto::tools
