// SPDX-License-Identifier: Apache-2.0
// A signaling client without sockets (docs/protocol.md, "Transport" to "Calls"): frames and the
// time are passed in, and what is to be sent goes to a callback. It keeps a session over lost
// connections: nothing is lost or doubled while the server still has it, and requests without an
// answer are made again when it hasn't. One thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "signaling/api/signaling.pb.h"
#include "tools/signaling_client/keys.h"

namespace sotto::tools {

// What clients and the server say to each other.
namespace api = ::sotto::signaling::v1;

constexpr size_t kMaxFrameSize = 24 * 1024;

struct ClientOptions {
  std::string identity;  // a JWT
  std::array<uint8_t, 16> device = {};
  Key notice_key = {};
};

class Client {
 public:
  enum class Phase : uint8_t {
    kOffline,
    kGreeting,  // Hello is sent
    kReady,     // Welcome has come
  };

  class Listener {
   public:
    virtual ~Listener() = default;
    // `resumed`: the session went on. If not, and this isn't the first Welcome, calls are over
    // unless they are placed again.
    virtual void OnWelcome(const api::Welcome& welcome, bool resumed) = 0;
    // A frame that answers no request.
    virtual void OnEvent(const api::ServerFrame& frame) = 0;
  };

  // The server's answer to a request. A Refused is an error: INVALID_ARGUMENT (malformed),
  // RESOURCE_EXHAUSTED (too many), NOT_FOUND, FAILED_PRECONDITION (wrong state), UNAUTHENTICATED
  // (identity), UNAVAILABLE (try again), with the server's sentence.
  using Answer = std::function<void(absl::StatusOr<api::ServerFrame>)>;
  // One frame; it views a buffer that lives until the call returns.
  using Send = std::function<void(std::string_view frame)>;

  // `listener` must outlive the object.
  Client(ClientOptions options, Listener& listener, Send send);

  // A connection stands: says Hello. Whatever was sent on an earlier one and isn't acknowledged is
  // sent again when the server has resumed.
  void OnConnected(uint64_t now_ms);
  void OnDisconnected();

  // A frame from the server. An error says what was wrong with it; the connection is then to be
  // closed (4400).
  absl::Status OnFrame(std::string_view bytes, uint64_t now_ms);

  // Sends a heartbeat when it is time. DEADLINE_EXCEEDED: nothing has come for so long that the
  // connection must be dead. Due at deadline_ms() (UINT64_MAX: nothing to wait for).
  absl::Status Poll(uint64_t now_ms);
  uint64_t deadline_ms() const { return deadline_ms_; }

  // `frame` has its body; seq and ack are set here. Sent as soon as the session is ready. `answer`
  // is called once, with RESOURCE_EXHAUSTED at once if kMaxRequests are open.
  void Request(api::ClientFrame frame, uint64_t now_ms, Answer answer);
  // Ends the session for good.
  void Goodbye(uint64_t now_ms);

  // For the next Hello, and for RenewIdentity.
  void set_identity(std::string identity) { options_.identity = std::move(identity); }

  Phase phase() const { return phase_; }
  const api::Welcome& welcome() const { return welcome_; }
  // The server's clock, by what it said in Welcome.
  int64_t ServerUnixMs(uint64_t now_ms) const;
  size_t open_requests() const { return requests_.size(); }

  static constexpr size_t kMaxRequests = 128;

 private:
  struct OpenRequest {
    uint64_t seq = 0;  // 0: not sent in this session
    api::ClientFrame frame;
    Answer answer;
  };

  void SendFrame(api::ClientFrame& frame, uint64_t now_ms);
  void SendRequest(OpenRequest& request, uint64_t now_ms);
  void SendPing(uint64_t now_ms);
  absl::Status OnWelcome(const api::ServerFrame& frame, uint64_t now_ms);
  void OnAnswer(const api::ServerFrame& frame);
  void UpdateDeadline();

  ClientOptions options_;
  Listener& listener_;
  Send send_;
  Phase phase_ = Phase::kOffline;

  api::Welcome welcome_;
  uint64_t welcome_ms_ = 0;
  uint64_t sent_seq_ = 0;              // the last that was given to a frame of ours
  uint64_t seen_seq_ = 0;              // of the server's
  uint64_t said_ack_ = 0;              // what of it the server has been told
  uint64_t peer_ack_ = 0;              // what the server has said it has seen of ours
  std::vector<OpenRequest> requests_;  // ascending by seq; those without one last

  uint64_t last_sent_ms_ = 0;
  uint64_t last_heard_ms_ = 0;
  uint64_t deadline_ms_ = UINT64_MAX;
};

}  // namespace sotto::tools
