// SPDX-License-Identifier: Apache-2.0
// A call of a phone, from place or ring to its end.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "tools/phone/call_commands.h"
#include "tools/phone/session.h"
#include "tools/signaling_client/call_body.h"
#include "tools/signaling_client/media_cipher.h"

namespace sotto::tools {

// Calls that ring and wait their turn.
using WaitingCalls = std::deque<api::IncomingCall>;

class PhoneCall {
 public:
  // `session` and `waiting` must outlive the object; calls that ring meanwhile go to `waiting`.
  PhoneCall(Session& session, CallSide side, MediaOptions options, WaitingCalls& waiting);

  // The caller's way. Returns an exit code.
  boost::asio::awaitable<int> Place(const CallOptions& options);
  // The recipient's.
  boost::asio::awaitable<int> Take(api::IncomingCall incoming, const AnswerOptions& options);

  // Stopped by a signal, or without a connection: no more calls.
  bool over() const { return over_; }

 private:
  using Clock = Session::Clock;

  boost::asio::awaitable<absl::Status> FindRecipient(const std::string& recipient);
  absl::StatusOr<std::string> FindToken(const CallOptions& options);
  boost::asio::awaitable<absl::Status> AskToPlace();
  boost::asio::awaitable<absl::Status> Accept();

  // Until the call has ended.
  boost::asio::awaitable<void> Converse();
  boost::asio::awaitable<void> OnFrame(const api::ServerFrame& frame);
  void OnConnected(const api::CallConnected& connected);
  boost::asio::awaitable<void> OnNews(MediaLeg::News news);
  boost::asio::awaitable<void> OnDeadline();
  boost::asio::awaitable<void> HangUp();
  boost::asio::awaitable<void> SendNoCandidates();
  void OpenLeg(const api::IceServer& relay);
  absl::Status StartMedia(const e2e::Media& peer);
  boost::asio::awaitable<void> ReleaseLeg();
  void Report();
  int Outcome() const;
  e2e::Media OwnMedia() const;
  void Fail(const absl::Status& status);
  void End(std::string why);

  Session& session_;
  const CallSide side_;
  const MediaOptions options_;
  WaitingCalls& waiting_;

  std::string call_;  // 16 bytes; empty until the server has named it
  std::string caller_;
  std::string recipient_;
  const BoxKeyPair box_ = MakeBoxKeyPair();
  const BoxKeyPair share_ = MakeBoxKeyPair();
  std::optional<AccountPublicKeys> peer_keys_;
  std::optional<Key> peer_box_;  // of this call: what later bodies are sealed to
  Hash offer_hash_ = {};
  api::ClientFrame place_;      // the caller's
  api::IncomingCall incoming_;  // the recipient's
  e2e::Offer offer_;
  double ring_s_ = 0;

  std::unique_ptr<MediaLeg> leg_;
  Clock::time_point deadline_ = Clock::time_point::max();
  enum class Step { kRinging, kAccepted, kConnected, kLeaving } step_ = Step::kRinging;
  bool was_connected_ = false;
  bool failed_ = false;
  bool over_ = false;
  bool ended_ = false;
};

}  // namespace sotto::tools
