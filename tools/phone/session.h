// SPDX-License-Identifier: Apache-2.0
// A phone's connection as its commands use it: coroutines that ask the server and wait for what
// happens next. On the io_context's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/phone/event_log.h"
#include "tools/phone/media_leg.h"
#include "tools/phone/phone_options.h"
#include "tools/phone/state_file.h"
#include "tools/signaling_client/connection.h"

namespace sotto::tools {

// What can happen to a phone.
struct MediaNews {
  std::string call;  // whose leg it is about: one that is over may still be talked about
  MediaLeg::News news;
};
struct Ended {
  absl::Status why;
};
struct SessionLost {};  // a new one has begun: calls are over
struct Interrupted {};  // SIGINT or SIGTERM
using Happening = std::variant<api::ServerFrame, MediaNews, SessionLost, Interrupted, Ended>;

class Session : public Connection::Listener {
 public:
  using Clock = std::chrono::steady_clock;

  // All must outlive the object.
  Session(boost::asio::io_context& io, const PhoneOptions& options, StateFile& state,
          const EventLog& log);
  ~Session() override;

  // Finds the identity, connects, and waits for Welcome. The account must be the state file's.
  boost::asio::awaitable<absl::Status> Open();
  // Goodbye.
  boost::asio::awaitable<void> Close();

  // The server's answer; an error if it refuses, or if the connection ends for good.
  boost::asio::awaitable<absl::StatusOr<api::ServerFrame>> Ask(api::ClientFrame frame);
  // What happens next; nothing if nothing does until `deadline`. After Ended nothing happens.
  boost::asio::awaitable<std::optional<Happening>> Next(
      Clock::time_point deadline = Clock::time_point::max());
  // Makes something happen.
  void Happen(Happening happening);

  const api::Welcome& welcome() const { return connection_->client().welcome(); }
  int64_t ServerUnixS() const;
  const Endpoint& endpoint() const { return endpoint_; }
  boost::asio::io_context& io() { return io_; }
  StateFile& state() { return state_; }
  const EventLog& log() const { return log_; }
  BoxKeyPair notice_key() const { return BoxKeyPairFromSecret(state_.state().notice_secret); }

 private:
  struct Question {
    std::optional<absl::StatusOr<api::ServerFrame>> answer;
    boost::asio::steady_timer answered;
  };

  void OnWelcome(const api::Welcome& welcome, bool resumed) override;
  void OnEvent(const api::ServerFrame& frame) override;
  void OnLost(const absl::Status& why) override;
  void OnEnd(const absl::Status& why) override;
  void OnFrame(bool incoming, std::string_view bytes) override;
  void WaitForSignal();
  absl::StatusOr<std::string> FindIdentity() const;

  boost::asio::io_context& io_;
  const PhoneOptions& options_;
  StateFile& state_;
  const EventLog& log_;
  Endpoint endpoint_;
  std::unique_ptr<Connector> connector_;
  std::unique_ptr<Connection> connection_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer happened_;
  boost::asio::steady_timer drop_;
  std::deque<Happening> happenings_;
  std::vector<std::shared_ptr<Question>> questions_;
  std::optional<absl::Status> ended_;
  bool welcomed_ = false;
};

}  // namespace sotto::tools
