// SPDX-License-Identifier: Apache-2.0
// What the server's tests share: options, addresses, a clock that is moved by hand, and a plane
// that remembers what it was told and can be made to fail.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "relay/turn/test_client.h"

namespace sotto::relay {

inline TransportAddress At(std::string_view text) { return *TransportAddress::Parse(text); }
inline IpAddress Ip(std::string_view text) { return *IpAddress::Parse(text); }

class RecordingPlane final : public ForwardingPlane {
 public:
  struct Leg {
    ForwardingLeg leg;
    std::map<IpAddress, MonotonicMs> permissions;
    std::map<uint16_t, ForwardingChannel> channels;
  };
  std::map<LegId, Leg> legs;
  ForwardingRates rates;
  int fail_after = -1;  // so many successful additions from now, then RESOURCE_EXHAUSTED

  void SetRates(const ForwardingRates& wanted) override { rates = wanted; }
  absl::Status Upsert(const ForwardingLeg& leg) override {
    const bool known = legs.contains(leg.id);
    if (!known && !Room()) return Full();
    legs[leg.id].leg = leg;
    return absl::OkStatus();
  }
  absl::Status Upsert(const ForwardingPermission& p) override {
    Leg& leg = legs.at(p.leg);
    if (!leg.permissions.contains(p.peer) && !Room()) return Full();
    leg.permissions[p.peer] = p.expires_at;
    return absl::OkStatus();
  }
  absl::Status Upsert(const ForwardingChannel& c) override {
    Leg& leg = legs.at(c.leg);
    if (!leg.channels.contains(c.number) && !Room()) return Full();
    leg.channels[c.number] = c;
    return absl::OkStatus();
  }
  void RemoveLeg(LegId leg) override { legs.erase(leg); }
  void RemovePermission(LegId leg, const IpAddress& peer) override {
    legs.at(leg).permissions.erase(peer);
  }
  void RemoveChannel(LegId leg, uint16_t number) override { legs.at(leg).channels.erase(number); }
  void List(const std::function<void(const ForwardingLeg&)>& visit) const override {
    for (const auto& [id, leg] : legs) visit(leg.leg);
  }

 private:
  bool Room() {
    if (fail_after == 0) return false;
    if (fail_after > 0) --fail_after;
    return true;
  }
  static absl::Status Full() { return absl::ResourceExhaustedError("the table is full"); }
};

class ServerTest : public ::testing::Test {
 protected:
  static constexpr std::string_view kUser = "alice";
  static constexpr std::string_view kPassword = "a-long-password";

  static ServerOptions Options() {
    ServerOptions options;
    options.realm = "example.org";
    options.listen = {At("192.0.2.10:3478"), At("[2001:db8::10]:3478")};
    options.relay_addresses = {Ip("192.0.2.10"), Ip("2001:db8::10")};
    options.auth.users = {{std::string(kUser), std::string(kPassword)},
                          {"bob", "another-password"}};
    options.peers.allow = {*IpPrefix::Parse("198.51.100.0/24"),
                           *IpPrefix::Parse("2001:db8:1::/48")};
    return options;
  }

  void Start(ServerOptions options = Options()) {
    ASSERT_TRUE(options.Validate().ok()) << options.Validate();
    server = std::make_unique<Server>(std::move(options), plane);
  }
  // Each client has an address of its own.
  TestClient Client(std::string_view username = kUser, std::string_view password = kPassword) {
    const auto port = static_cast<uint16_t>(40000 + clients_++);
    return {*server,
            {{Ip("203.0.113.5"), port}, At("192.0.2.10:3478")},
            std::string(username),
            std::string(password)};
  }
  TestClient Allocated(std::string_view username = kUser, std::string_view password = kPassword) {
    TestClient client = Client(username, password);
    const Reply reply = client.Allocate(now);
    EXPECT_TRUE(reply.success()) << reply.error;
    return client;
  }
  void Pass(uint64_t seconds) {
    now.monotonic_ms += seconds * 1000;
    now.unix_s += static_cast<int64_t>(seconds);
  }
  void TickAll() {
    for (int i = 0; i < 4; ++i) server->Tick(now, 1 << 20);
  }
  Reply FromPeer(const TransportAddress& relayed, const TransportAddress& peer,
                 std::span<const uint8_t> data) {
    Bytes buffer(data.size() + 2048, 0xAA);
    return Reply(server->HandlePeerDatagram(relayed, peer, data, now, buffer));
  }
  uint64_t Discarded(Discard reason) const {
    return server->counters().discards[static_cast<size_t>(reason)];
  }

  RecordingPlane plane;
  std::unique_ptr<Server> server;
  Now now{.monotonic_ms = 5'000'000, .unix_s = 1'800'000'000};

 private:
  int clients_ = 0;
};

}  // namespace sotto::relay
