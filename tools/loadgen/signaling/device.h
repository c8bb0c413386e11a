// SPDX-License-Identifier: Apache-2.0
// One device of `sotto-loadgen signaling`: a connection of an account of its own, and which calls
// of the run it takes part in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/signaling_client/connection.h"
#include "tools/signaling_client/keys.h"

namespace sotto::tools {

class LoadDevice : public Connection::Listener {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnWelcomed(uint64_t since_ns) = 0;
    virtual void OnIncoming(LoadDevice& device, uint64_t number,
                            const api::IncomingCall& incoming) = 0;
    // To the caller.
    virtual void OnConnected(uint64_t number, const api::CallConnected& connected) = 0;
    virtual void OnUnexpected() = 0;
    virtual void OnDeviceLost(const absl::Status& why) = 0;
    virtual void OnDeviceEnded(const absl::Status& why) = 0;
  };

  // Connector and owner must outlive the object.
  LoadDevice(Connector& connector, Owner& owner, std::string account, std::string identity);

  void Start(uint64_t now_ns);
  void Stop();
  void Request(api::ClientFrame frame, Client::Answer answer) {
    connection_.Request(std::move(frame), std::move(answer));
  }

  const std::string& account() const { return account_; }
  int64_t ServerUnixS() { return connection_.client().ServerUnixMs(SteadyMs()) / 1000; }
  // The account's key of an epoch; of the last one asked for it is remembered.
  const SignKeyPair& SignKey(uint32_t epoch);

  // A call that is to ring here, by its caller; the caller's own calls, by their ids.
  void Expect(const std::string& caller, uint64_t number);
  void Forget(const std::string& caller);
  void Own(const std::string& call, uint64_t number);
  void Disown(const std::string& call);

 private:
  void OnWelcome(const api::Welcome& welcome, bool resumed) override;
  void OnEvent(const api::ServerFrame& frame) override;
  void OnLost(const absl::Status& why) override { owner_.OnDeviceLost(why); }
  void OnEnd(const absl::Status& why) override { owner_.OnDeviceEnded(why); }

  // A device has few calls at a time.
  struct Entry {
    std::string name;
    uint64_t number;
  };

  Owner& owner_;
  const std::string account_;
  const AccountSecret secret_;
  Connection connection_;
  SignKeyPair key_;
  uint32_t key_epoch_ = 0;
  std::vector<Entry> expected_;
  std::vector<Entry> own_;
  uint64_t started_ns_ = 0;
  bool started_ = false;
};

}  // namespace sotto::tools
