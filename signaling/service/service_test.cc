// SPDX-License-Identifier: Apache-2.0
// Connections and sessions of the service, in virtual time, over the real switchboard and a real
// store.

#include "signaling/service/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "signaling/service/service_fixture.h"

namespace sotto::signaling {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// --- Hello

TEST_F(ServiceTest, WelcomeSaysWhatTheServerKnows) {
  ASSERT_TRUE(alice_.Connect());
  const api::Welcome& welcome = alice_.welcome();
  EXPECT_EQ(welcome.account(), "alice");
  EXPECT_EQ(welcome.session().size(), 32u);
  EXPECT_FALSE(welcome.resumed());
  EXPECT_EQ(welcome.server_time_ms(), world_.now.unix_ms);
  EXPECT_EQ(welcome.ring_s(), 45u);
  EXPECT_EQ(welcome.heartbeat_s(), 30u);
  EXPECT_FALSE(welcome.has_account_keys());
  EXPECT_THAT(welcome.epochs(), IsEmpty());
  EXPECT_EQ(alice_.connection().frames[0].seq(), 0u);
}

TEST_F(ServiceTest, TheFirstFrameMustBeHello) {
  for (const std::string& bytes : {std::string("\x22\x00", 2), std::string("\xff"), std::string(),
                                   std::string("\x08\x01", 2)}) {
    ConnectionForTest& connection = world_.Connect();
    world_.service->OnMessage(connection.id,
                              {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    EXPECT_EQ(connection.closed, CloseCode::kProtocol);
    EXPECT_THAT(connection.frames, IsEmpty());
  }
  EXPECT_EQ(world_.service->counters().connections, 0u);
}

TEST_F(ServiceTest, HelloWithFieldsOfOtherSizesIsRefused) {
  const auto hello = [&](size_t device, size_t key, size_t resume, uint64_t seq = 0) {
    api::ClientFrame frame;
    frame.set_seq(seq);
    frame.mutable_hello()->set_identity(world_.Identity("alice"));
    frame.mutable_hello()->set_device(std::string(device, 'd'));
    frame.mutable_hello()->set_notice_key(std::string(key, 'k'));
    frame.mutable_hello()->set_resume(std::string(resume, 'r'));
    ConnectionForTest& connection = world_.Connect();
    world_.Receive(connection, frame);
    world_.Settle();
    return connection.closed;
  };
  EXPECT_EQ(hello(16, 32, 0), std::nullopt);
  EXPECT_EQ(hello(15, 32, 0), CloseCode::kProtocol);
  EXPECT_EQ(hello(16, 33, 0), CloseCode::kProtocol);
  EXPECT_EQ(hello(16, 32, 31), CloseCode::kProtocol);
  EXPECT_EQ(hello(16, 32, 0, 1), CloseCode::kProtocol);
}

TEST_F(ServiceTest, WithoutAValidIdentityNothingIsLeft) {
  ConnectionForTest& connection = world_.Connect();
  api::ClientFrame frame;
  frame.mutable_hello()->set_identity("e30.e30.AAAA");
  frame.mutable_hello()->set_device(std::string(16, 'd'));
  frame.mutable_hello()->set_notice_key(std::string(32, 'k'));
  world_.Receive(connection, frame);
  EXPECT_EQ(connection.closed, CloseCode::kIdentity);
  EXPECT_EQ(world_.store.waiting(), 0u) << "the store was asked";
  EXPECT_EQ(world_.service->counters().connections, 0u);
  EXPECT_EQ(world_.service->counters().sessions, 0u);
}

TEST_F(ServiceTest, AConnectionThatSaysNothingIsClosed) {
  ConnectionForTest& connection = world_.Connect();
  world_.Advance(9'999);
  EXPECT_EQ(connection.closed, std::nullopt);
  world_.Advance(1);
  EXPECT_EQ(connection.closed, CloseCode::kSilent);
}

TEST_F(ServiceTest, AConnectionThatGoesWhileItIsGreetedLeavesNoSession) {
  ConnectionForTest& connection = world_.Connect();
  api::ClientFrame frame;
  frame.mutable_hello()->set_identity(world_.Identity("alice"));
  frame.mutable_hello()->set_device(std::string(16, 'd'));
  frame.mutable_hello()->set_notice_key(std::string(32, 'k'));
  world_.Receive(connection, frame);
  world_.service->OnClosed(connection.id);
  world_.Settle();
  EXPECT_EQ(world_.service->counters().sessions, 0u);
  EXPECT_THAT(connection.frames, IsEmpty());
}

TEST_F(ServiceTest, FramesBeforeWelcomeAreRefused) {
  ConnectionForTest& connection = world_.Connect();
  api::ClientFrame frame;
  frame.mutable_hello()->set_identity(world_.Identity("alice"));
  frame.mutable_hello()->set_device(std::string(16, 'd'));
  frame.mutable_hello()->set_notice_key(std::string(32, 'k'));
  world_.Receive(connection, frame);
  world_.Receive(connection, frame);
  EXPECT_EQ(connection.closed, CloseCode::kProtocol);
  world_.Settle();
  EXPECT_EQ(world_.service->counters().sessions, 0u);
}

TEST_F(ServiceTest, AnAccountHasEightDevices) {
  std::vector<std::unique_ptr<DeviceForTest>> devices;
  for (uint8_t i = 0; i < 8; ++i) {
    devices.push_back(std::make_unique<DeviceForTest>(world_, "carol", 10 + i));
    ASSERT_TRUE(devices.back()->Connect());
  }
  DeviceForTest ninth(world_, "carol", 99);
  EXPECT_FALSE(ninth.Connect());
  EXPECT_EQ(ninth.connection().closed, CloseCode::kTooMany);
  api::ClientFrame remove;
  remove.mutable_remove_device()->set_device(devices[0]->id().data(), 16);
  EXPECT_TRUE(devices[1]->Request(remove).has_done());
  EXPECT_EQ(devices[0]->connection().closed, CloseCode::kRemoved);
  EXPECT_TRUE(ninth.Connect());
}

// --- Sessions

TEST_F(ServiceTest, AResumedSessionGetsWhatItMissedAndNothingTwice) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  alice_.Send(PlaceCall("bob"));
  world_.Settle();
  ASSERT_EQ(Count(phone_.Events(), &api::ServerFrame::has_incoming_call), 1u);
  phone_.Lose();
  api::ClientFrame hang_up;
  hang_up.mutable_hang_up()->set_call(alice_.Events().front().call_placed().call());
  alice_.Request(hang_up);
  ASSERT_TRUE(phone_.Resume());
  EXPECT_TRUE(phone_.welcome().resumed());
  const auto events = phone_.Events();
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_TRUE(events[0].has_call_stopped());
  EXPECT_TRUE(events[1].has_notices()) << "of the missed call";
}

TEST_F(ServiceTest, ARequestThatIsSentAgainIsDoneOnce) {
  ASSERT_TRUE(alice_.Connect());
  api::ClientFrame frame = PlaceCall("bob");
  alice_.Send(frame);
  frame.set_seq(alice_.sent());
  world_.Receive(alice_.connection(), frame);
  world_.Settle();
  EXPECT_EQ(world_.store.decisions, 1u);
  EXPECT_EQ(Count(alice_.Events(), &api::ServerFrame::has_call_placed), 1u);
}

TEST_F(ServiceTest, AGapEndsTheConnectionAndKeepsTheSession) {
  ASSERT_TRUE(alice_.Connect());
  api::ClientFrame frame = Settings(true);
  frame.set_seq(2);
  world_.Receive(alice_.connection(), frame);
  EXPECT_EQ(alice_.connection().closed, CloseCode::kProtocol);
  ASSERT_TRUE(alice_.Resume());
  EXPECT_TRUE(alice_.welcome().resumed());
}

TEST_F(ServiceTest, AnAckOfWhatWasNeverSentEndsTheSession) {
  ASSERT_TRUE(alice_.Connect());
  api::ClientFrame frame;
  frame.mutable_ping();
  frame.set_ack(1);
  world_.Receive(alice_.connection(), frame);
  EXPECT_EQ(alice_.connection().closed, CloseCode::kProtocol);
  EXPECT_EQ(world_.service->counters().sessions, 0u);
}

TEST_F(ServiceTest, NumbersWhereNoneBelongAndNoneWhereTheyDo) {
  api::ClientFrame ping;
  ping.mutable_ping();
  ping.set_seq(1);
  for (const api::ClientFrame& frame : {ping, Settings(true)}) {
    ASSERT_TRUE(alice_.Connect());
    world_.Receive(alice_.connection(), frame);
    EXPECT_EQ(alice_.connection().closed, CloseCode::kProtocol);
  }
}

TEST_F(ServiceTest, TheSameDeviceConnectedAgainTakesTheSessionsPlace) {
  ASSERT_TRUE(alice_.Connect());
  ConnectionForTest& old = alice_.connection();
  ASSERT_TRUE(alice_.Connect());
  EXPECT_EQ(old.closed, CloseCode::kReplaced);
  EXPECT_FALSE(alice_.welcome().resumed());
  EXPECT_EQ(world_.service->counters().sessions, 1u);
  ConnectionForTest& second = alice_.connection();
  ASSERT_TRUE(alice_.Resume());
  EXPECT_EQ(second.closed, CloseCode::kReplaced);
  EXPECT_TRUE(alice_.welcome().resumed());
  world_.service->OnClosed(second.id);
  EXPECT_EQ(world_.service->counters().connections, 1u) << "the end of the old one hurt the new";
  alice_.Ping();
  EXPECT_EQ(alice_.connection().closed, std::nullopt);
}

TEST_F(ServiceTest, ASessionThatIsGoneIsMadeAnew) {
  ASSERT_TRUE(alice_.Connect());
  alice_.Lose();
  world_.Advance(120'000);
  EXPECT_EQ(world_.service->counters().sessions, 0u);
  ASSERT_TRUE(alice_.Resume());
  EXPECT_FALSE(alice_.welcome().resumed());
}

TEST_F(ServiceTest, AClientThatAcknowledgesNothingLosesItsSession) {
  ServiceOptions options;
  options.sessions.frame_burst = 1000;
  ServiceWorld world(options);
  DeviceForTest client(world, "carol", 1);
  ASSERT_TRUE(client.Connect());
  size_t sent = 0;
  while (!client.connection().closed && sent < 1000) {
    api::ClientFrame frame = GetKeys("someone");
    frame.set_seq(++sent);
    world.Receive(client.connection(), frame);
    world.Settle();
  }
  EXPECT_EQ(client.connection().closed, CloseCode::kSlow);
  EXPECT_EQ(sent, kMaxKeptFrames + 1);
  EXPECT_EQ(world.service->counters().sessions, 0u);
}

TEST_F(ServiceTest, AConnectionThatTakesNothingLosesItsSession) {
  ASSERT_TRUE(alice_.Connect());
  alice_.connection().blocked = true;
  alice_.Ping();
  EXPECT_EQ(alice_.connection().closed, CloseCode::kSlow);
  EXPECT_EQ(world_.service->counters().sessions, 0u);
}

TEST_F(ServiceTest, TooManyFramesEndTheSession) {
  ASSERT_TRUE(alice_.Connect());
  int pings = 0;
  while (!alice_.connection().closed && ++pings < 1000) alice_.Ping();
  EXPECT_EQ(alice_.connection().closed, CloseCode::kTooMany);
  EXPECT_EQ(pings, 201);
}

TEST_F(ServiceTest, SilenceClosesAndTheSessionWaits) {
  ASSERT_TRUE(alice_.Connect());
  world_.Advance(59'000);
  alice_.Ping();
  world_.Advance(59'999);
  EXPECT_EQ(alice_.connection().closed, std::nullopt);
  world_.Advance(1);
  EXPECT_EQ(alice_.connection().closed, CloseCode::kSilent);
  ASSERT_TRUE(alice_.Resume());
  EXPECT_TRUE(alice_.welcome().resumed());
}

TEST_F(ServiceTest, ASessionEndsWithItsIdentityUnlessThatIsRenewed) {
  ServiceOptions options;
  options.sessions.heartbeat_s = 200'000;  // out of the way
  ServiceWorld world(options);
  DeviceForTest alice(world, "alice", 1);
  DeviceForTest bob(world, "bob", 2);
  ASSERT_TRUE(alice.Connect());
  ASSERT_TRUE(bob.Connect());
  world.Advance(80'000'000);
  api::ClientFrame renew;
  renew.mutable_renew_identity()->set_identity(world.Identity("alice"));
  EXPECT_TRUE(alice.Request(renew).has_done());
  EXPECT_EQ(bob.Request(renew).refused().code(), api::Refused::CODE_IDENTITY)
      << "another account's";
  renew.mutable_renew_identity()->set_identity("nonsense");
  EXPECT_EQ(bob.Request(renew).refused().code(), api::Refused::CODE_IDENTITY);
  world.Advance(uint64_t{kDevelopmentIdentitySeconds} * 1000 - 80'000'000 + 60'000 - 1);
  EXPECT_EQ(bob.connection().closed, std::nullopt);
  world.Advance(1);
  EXPECT_EQ(bob.connection().closed, CloseCode::kIdentity);
  EXPECT_EQ(alice.connection().closed, std::nullopt);
  EXPECT_EQ(world.service->counters().sessions, 1u);
}

TEST_F(ServiceTest, GoodbyeEndsTheSession) {
  ASSERT_TRUE(alice_.Connect());
  api::ClientFrame frame;
  frame.mutable_goodbye();
  alice_.Send(frame);
  EXPECT_EQ(alice_.connection().closed, CloseCode::kDone);
  EXPECT_EQ(world_.service->counters().sessions, 0u);
}

TEST_F(ServiceTest, StopClosesAllAndTakesNoMore) {
  ASSERT_TRUE(alice_.Connect());
  ConnectionForTest& fresh = world_.Connect();
  world_.service->Stop();
  EXPECT_EQ(alice_.connection().closed, CloseCode::kStopping);
  EXPECT_EQ(fresh.closed, CloseCode::kStopping);
  EXPECT_EQ(world_.Connect().closed, CloseCode::kStopping);
}

}  // namespace
}  // namespace sotto::signaling
