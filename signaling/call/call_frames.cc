// SPDX-License-Identifier: Apache-2.0
#include "signaling/call/call_frames.h"

namespace sotto::signaling {

std::string_view AsBytes(const CallId& call) {
  return {reinterpret_cast<const char*>(call.data()), call.size()};
}

void SetIceServer(const RelayCredential& from, api::IceServer* to) {
  for (const std::string& url : from.urls) to->add_urls(url);
  to->set_username(from.username);
  to->set_credential(from.credential);
}

api::ServerFrame RefusedFrame(uint64_t request, api::Refused::Code code, std::string_view text) {
  api::ServerFrame frame;
  frame.set_request(request);
  frame.mutable_refused()->set_code(code);
  frame.mutable_refused()->set_text(std::string(text));
  return frame;
}

api::ServerFrame DoneFrame(uint64_t request) {
  api::ServerFrame frame;
  frame.set_request(request);
  frame.mutable_done();
  return frame;
}

api::ServerFrame CallPlacedFrame(uint64_t request, std::string_view place_id, const CallId& call,
                                 const RelayCredential& relay) {
  api::ServerFrame frame;
  frame.set_request(request);
  api::CallPlaced& placed = *frame.mutable_call_placed();
  placed.set_place_id(std::string(place_id));
  placed.set_call(std::string(AsBytes(call)));
  SetIceServer(relay, placed.mutable_relay());
  return frame;
}

api::ServerFrame CallStoppedFrame(const CallId& call, api::CallStopped::Why why) {
  api::ServerFrame frame;
  frame.mutable_call_stopped()->set_call(std::string(AsBytes(call)));
  frame.mutable_call_stopped()->set_why(why);
  return frame;
}

api::ServerFrame CallConnectedFrame(const CallId& call, std::string_view answer,
                                    bool protect_address) {
  api::ServerFrame frame;
  api::CallConnected& connected = *frame.mutable_call_connected();
  connected.set_call(std::string(AsBytes(call)));
  connected.set_answer(std::string(answer));
  connected.set_protect_address(protect_address);
  return frame;
}

api::ServerFrame CallEndedFrame(const CallId& call, api::CallEnded::Why why) {
  api::ServerFrame frame;
  frame.mutable_call_ended()->set_call(std::string(AsBytes(call)));
  frame.mutable_call_ended()->set_why(why);
  return frame;
}

api::ServerFrame PeerAddressFrame(const CallId& call,
                                  const std::vector<TransportAddress>& relayed) {
  api::ServerFrame frame;
  api::PeerAddress& peer = *frame.mutable_peer_address();
  peer.set_call(std::string(AsBytes(call)));
  for (const TransportAddress& address : relayed) {
    api::TransportAddress& to = *peer.add_relayed();
    to.set_ip(std::string(address.ip.bytes().begin(), address.ip.bytes().end()));
    to.set_port(address.port);
  }
  return frame;
}

api::ServerFrame FromPeerFrame(const CallId& call, std::string_view body) {
  api::ServerFrame frame;
  frame.mutable_from_peer()->set_call(std::string(AsBytes(call)));
  frame.mutable_from_peer()->set_body(std::string(body));
  return frame;
}

}  // namespace sotto::signaling
