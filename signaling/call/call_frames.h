// SPDX-License-Identifier: Apache-2.0
// The frames of calls, made from values: what a party may be told stands in the arguments.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "relay/base/ip_address.h"
#include "signaling/api/api.h"
#include "signaling/identity/account.h"
#include "signaling/relay_client/relay_fleet.h"

namespace sotto::signaling {

// Answers to a request.
api::ServerFrame RefusedFrame(uint64_t request, api::Refused::Code code, std::string_view text);
api::ServerFrame DoneFrame(uint64_t request);
api::ServerFrame CallPlacedFrame(uint64_t request, std::string_view place_id, const CallId& call,
                                 const RelayCredential& relay);

// Events.
api::ServerFrame CallStoppedFrame(const CallId& call, api::CallStopped::Why why);
// `answer` is empty for the recipient.
api::ServerFrame CallConnectedFrame(const CallId& call, std::string_view answer,
                                    bool protect_address);
api::ServerFrame CallEndedFrame(const CallId& call, api::CallEnded::Why why);
api::ServerFrame PeerAddressFrame(const CallId& call, const std::vector<TransportAddress>& relayed);
api::ServerFrame FromPeerFrame(const CallId& call, std::string_view body);

std::string_view AsBytes(const CallId& call);
void SetIceServer(const RelayCredential& from, api::IceServer* to);

}  // namespace sotto::signaling
