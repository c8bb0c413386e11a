// SPDX-License-Identifier: Apache-2.0
// What the service does with requests, calls and notices, in virtual time, over the real
// switchboard and a real store.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sodium.h>

#include "signaling/service/service_fixture.h"
#include "signaling/service/stand_in_keys.h"
#include "signaling/token/token.h"

namespace sotto::signaling {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// --- The account

TEST_F(ServiceTest, SettingsAreDurableBeforeDoneAndToldToOtherDevices) {
  ASSERT_TRUE(phone_.Connect());
  ASSERT_TRUE(laptop_.Connect());
  ASSERT_TRUE(alice_.Connect());
  phone_.Send(Settings(true, true));
  EXPECT_THAT(phone_.Events(), IsEmpty()) << "before the store has it";
  world_.Settle();
  EXPECT_EQ(Count(phone_.Events(), &api::ServerFrame::has_done), 1u);
  const auto events = laptop_.Events();
  ASSERT_EQ(Count(events, &api::ServerFrame::has_settings_changed), 1u);
  EXPECT_TRUE(events[0].settings_changed().settings().silence_unknown_callers());
  EXPECT_THAT(alice_.Events(), IsEmpty());
  ASSERT_TRUE(phone_.Connect());
  EXPECT_TRUE(phone_.welcome().settings().silence_unknown_callers());
  EXPECT_TRUE(phone_.welcome().settings().protect_ip_address());
}

TEST_F(ServiceTest, WhatTheStoreCantKeepIsRefused) {
  ASSERT_TRUE(phone_.Connect());
  world_.store.full = true;
  EXPECT_EQ(phone_.Request(Settings(true)).refused().code(), api::Refused::CODE_TRY_AGAIN);
  world_.store.full = false;
  world_.store.broken = absl::UnavailableError("disk full at /secret/path");
  const api::ServerFrame refused = phone_.Request(Settings(true));
  EXPECT_EQ(refused.refused().code(), api::Refused::CODE_TRY_AGAIN);
  EXPECT_THAT(refused.refused().text(), ::testing::Not(::testing::HasSubstr("secret")));
  world_.store.broken = absl::OkStatus();
  ASSERT_TRUE(phone_.Connect());
  EXPECT_FALSE(phone_.welcome().settings().silence_unknown_callers());
}

TEST_F(ServiceTest, MalformedRequestsAreRefusedAndChangeNothing) {
  ASSERT_TRUE(phone_.Connect());
  const Epoch epoch = EpochAt(ServiceWorld::kStartUnix);
  std::vector<api::ClientFrame> bad;
  const auto add = [&]() -> api::ClientFrame& { return bad.emplace_back(); };
  add().mutable_put_settings();
  add().mutable_put_account_keys();
  add().mutable_put_account_keys()->mutable_keys()->set_box(std::string(32, 'b'));
  const auto epoch_key = [&](uint32_t e, size_t size, uint32_t uses) {
    api::PutEpochKey& key = *add().mutable_put_epoch_key();
    key.set_epoch(e);
    key.set_public_key(std::string(size, 'k'));
    key.set_uses(uses);
  };
  epoch_key(epoch, 31, 1);
  epoch_key(epoch, 32, 0);
  epoch_key(epoch, 32, 1001);
  epoch_key(epoch + 2, 32, 1);
  epoch_key(epoch - 2, 32, 1);
  epoch_key(UINT32_MAX, 32, 1);
  add().mutable_revoke_tokens()->set_epoch(epoch);
  add().mutable_revoke_tokens()->add_serials(std::string(15, 's'));
  bad.back().mutable_revoke_tokens()->set_epoch(epoch);
  for (int i = 0; i < 257; ++i) {
    if (i == 0) add().mutable_revoke_tokens()->set_epoch(epoch);
    bad.back().mutable_revoke_tokens()->add_serials(std::string(16, 's'));
  }
  add().mutable_put_block()->set_account("a b");
  add().mutable_get_keys()->set_account("");
  for (uint64_t i = 0; i < 65; ++i) {
    if (i == 0) add();
    bad.back().mutable_ack_notices()->add_ids(i);
  }
  add().mutable_remove_device()->set_device("short");
  add().mutable_remove_device()->set_device(phone_.id().data(), 16);
  add().mutable_place_call();
  for (const api::ClientFrame& frame : bad) {
    const api::ServerFrame answer = phone_.Request(frame);
    EXPECT_EQ(answer.refused().code(), api::Refused::CODE_MALFORMED) << frame.ShortDebugString();
    EXPECT_FALSE(answer.refused().text().empty());
  }
  const auto record = world_.store.store().FindAccount(*AccountId::Parse("bob"));
  ASSERT_TRUE(record.ok() && record->has_value());
  EXPECT_THAT((*record)->epoch_keys, IsEmpty());
  EXPECT_FALSE((*record)->keys.has_value());
}

TEST_F(ServiceTest, KeysAreKeptAndGivenOut) {
  ASSERT_TRUE(phone_.Connect());
  ASSERT_TRUE(alice_.Connect());
  api::ClientFrame put;
  put.mutable_put_account_keys()->mutable_keys()->set_box(std::string(32, 'b'));
  put.mutable_put_account_keys()->mutable_keys()->set_sign(std::string(32, 's'));
  EXPECT_TRUE(phone_.Request(put).has_done());
  api::ClientFrame epoch_key;
  epoch_key.mutable_put_epoch_key()->set_epoch(EpochAt(ServiceWorld::kStartUnix));
  epoch_key.mutable_put_epoch_key()->set_public_key(std::string(32, 'e'));
  epoch_key.mutable_put_epoch_key()->set_uses(3);
  EXPECT_TRUE(phone_.Request(epoch_key).has_done());
  const api::ServerFrame keys = alice_.Request(GetKeys("bob"));
  EXPECT_EQ(keys.keys().account(), "bob");
  EXPECT_EQ(keys.keys().keys().box(), std::string(32, 'b'));
  EXPECT_EQ(keys.keys().keys().sign(), std::string(32, 's'));
  ASSERT_TRUE(phone_.Connect());
  EXPECT_TRUE(phone_.welcome().has_account_keys());
  EXPECT_THAT(phone_.welcome().epochs(), ::testing::ElementsAre(EpochAt(ServiceWorld::kStartUnix)));
}

TEST_F(ServiceTest, WhoHasNoKeysSeemsToHaveSome) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  const auto known = alice_.Request(GetKeys("bob"));  // exists, and has put none
  const auto unknown = alice_.Request(GetKeys("nobody"));
  EXPECT_EQ(known.keys().keys().box().size(), 32u);
  EXPECT_EQ(unknown.keys().keys().box().size(), 32u);
  EXPECT_NE(known.keys().keys().box(), unknown.keys().keys().box());
  const auto again = phone_.Request(GetKeys("nobody"));
  EXPECT_EQ(again.keys().keys().SerializeAsString(), unknown.keys().keys().SerializeAsString());
  // They are keys that one can seal to and verify with.
  std::array<uint8_t, 4 + crypto_box_SEALBYTES> sealed;
  const auto* const box = reinterpret_cast<const uint8_t*>(again.keys().keys().box().data());
  EXPECT_EQ(crypto_box_seal(sealed.data(), reinterpret_cast<const uint8_t*>("text"), 4, box), 0);
  const auto* const sign = reinterpret_cast<const uint8_t*>(again.keys().keys().sign().data());
  EXPECT_EQ(crypto_core_ed25519_is_valid_point(sign), 1);
}

TEST_F(ServiceTest, StandInKeysDependOnTheServersKey) {
  const AccountId account = *AccountId::Parse("nobody");
  EXPECT_EQ(StandInKeys({1}, account), StandInKeys({1}, account));
  EXPECT_NE(StandInKeys({1}, account), StandInKeys({2}, account));
  EXPECT_NE(StandInKeys({1}, account), StandInKeys({1}, *AccountId::Parse("nobod")));
}

// --- Calls

TEST_F(ServiceTest, CallPlacedIsSentBeforeTheDecisionIsAskedFor) {
  ASSERT_TRUE(alice_.Connect());
  size_t decisions_at_answer = 99;
  alice_.connection().on_send = [&](const api::ServerFrame& frame) {
    if (frame.has_call_placed()) decisions_at_answer = world_.store.decisions;
  };
  alice_.Send(PlaceCall("bob"));
  EXPECT_EQ(decisions_at_answer, 0u);
  EXPECT_EQ(world_.store.decisions, 1u);
}

TEST_F(ServiceTest, ACallRingsOnAllDevicesAndConnectsOne) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  ASSERT_TRUE(laptop_.Connect());
  alice_.Send(PlaceCall("bob"));
  world_.Settle();
  const auto ringing = phone_.Events();
  ASSERT_EQ(Count(ringing, &api::ServerFrame::has_incoming_call), 1u);
  ASSERT_EQ(Count(laptop_.Events(), &api::ServerFrame::has_incoming_call), 1u);
  EXPECT_EQ(ringing[0].incoming_call().caller(), "alice");
  EXPECT_EQ(ringing[0].incoming_call().offer(), Body());
  EXPECT_THAT(world_.relays.armed, IsEmpty());
  api::ClientFrame accept;
  accept.mutable_accept_call()->set_call(ringing[0].incoming_call().call());
  accept.mutable_accept_call()->set_answer(Body(512, 'a'));
  EXPECT_TRUE(phone_.Request(accept).has_done());
  EXPECT_THAT(world_.relays.armed, SizeIs(1));
  EXPECT_EQ(Count(laptop_.Events(), &api::ServerFrame::has_call_stopped), 1u);
  const auto connected = alice_.Events();
  ASSERT_EQ(Count(connected, &api::ServerFrame::has_call_connected), 1u);
  EXPECT_EQ(connected.back().call_connected().answer(), Body(512, 'a'));
  LegAddresses leg{.call = world_.relays.armed[0],
                   .side = CallSideName::kRecipient,
                   .relayed = {*TransportAddress::Parse("192.0.2.10:50000")}};
  world_.service->OnLeg(leg);
  const auto peer = alice_.Events();
  ASSERT_EQ(Count(peer, &api::ServerFrame::has_peer_address), 1u);
  EXPECT_EQ(peer[0].peer_address().relayed(0).port(), 50000u);
}

TEST_F(ServiceTest, ALostSessionEndsItsCalls) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  alice_.Send(PlaceCall("bob"));
  world_.Settle();
  ASSERT_EQ(Count(phone_.Events(), &api::ServerFrame::has_incoming_call), 1u);
  api::ClientFrame goodbye;
  goodbye.mutable_goodbye();
  alice_.Send(goodbye);
  world_.Settle();
  EXPECT_EQ(Count(phone_.Events(), &api::ServerFrame::has_call_stopped), 1u);
  EXPECT_THAT(world_.relays.ended, SizeIs(1));
}

TEST_F(ServiceTest, ACallThatCantBeDecidedEndsLikeAnyOther) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  world_.store.full = true;
  alice_.Send(PlaceCall("bob"));
  world_.Settle();
  world_.store.full = false;
  world_.store.broken = absl::UnavailableError("broken");
  alice_.Send(PlaceCall("bob", 'q'));
  world_.Settle();
  world_.store.broken = absl::OkStatus();
  EXPECT_EQ(Count(alice_.Events(), &api::ServerFrame::has_call_placed), 2u);
  world_.Advance(44'999);
  EXPECT_THAT(alice_.Events(), IsEmpty());
  world_.Advance(1);
  const auto ended = alice_.Events();
  ASSERT_EQ(Count(ended, &api::ServerFrame::has_call_ended), 2u);
  EXPECT_EQ(ended[0].call_ended().why(), api::CallEnded::WHY_NO_ANSWER);
  EXPECT_EQ(Count(phone_.Events(), &api::ServerFrame::has_incoming_call), 0u);
}

// --- Notices

TEST_F(ServiceTest, ASilencedCallBecomesANoticeAndNothingElse) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  EXPECT_TRUE(phone_.Request(Settings(true)).has_done());
  phone_.Events();
  alice_.Send(PlaceCall("bob"));
  world_.Settle();
  EXPECT_THAT(phone_.Events(), IsEmpty()) << "not within the interval since it connected";
  world_.Advance(10'000);
  const auto events = phone_.Events();
  ASSERT_THAT(events, SizeIs(1));
  ASSERT_EQ(events[0].notices().notices_size(), 1);
  EXPECT_EQ(events[0].notices().notices(0).sealed().size(), kSealedNoticeSize);
  // Time runs out for the call: that isn't news to the recipient.
  phone_.Ping();
  world_.Advance(50'000);
  phone_.Ping();
  EXPECT_EQ(Count(phone_.Events(), &api::ServerFrame::has_notices), 0u);
  api::ClientFrame ack;
  ack.mutable_ack_notices()->add_ids(events[0].notices().notices(0).id());
  EXPECT_TRUE(phone_.Request(ack).has_done());
  ASSERT_TRUE(phone_.Connect());
  EXPECT_EQ(Count(phone_.Events(), &api::ServerFrame::has_notices), 0u)
      << "acknowledged, and forgotten";
}

TEST_F(ServiceTest, NoticesWaitForTheDeviceAndComeAgainUntilAcknowledged) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  phone_.Request(Settings(true));
  api::ClientFrame goodbye;
  goodbye.mutable_goodbye();
  phone_.Send(goodbye);
  alice_.Send(PlaceCall("bob"));
  world_.Settle();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(phone_.Connect());
    EXPECT_EQ(Count(phone_.Events(), &api::ServerFrame::has_notices), 1u);
  }
}

TEST_F(ServiceTest, ManySilencedCallsComeInFewFrames) {
  ASSERT_TRUE(phone_.Connect());
  phone_.Request(Settings(true));
  phone_.Events();
  size_t frames = 0;
  std::vector<std::unique_ptr<DeviceForTest>> callers;
  for (int i = 0; i < 40; ++i) {
    callers.push_back(std::make_unique<DeviceForTest>(world_, "caller" + std::to_string(i), 50));
    ASSERT_TRUE(callers.back()->Connect());
    callers.back()->Send(PlaceCall("bob"));
    world_.Advance(1000);
    for (const api::ServerFrame& frame : phone_.Events()) {
      EXPECT_TRUE(frame.has_notices());
      EXPECT_LE(frame.notices().notices_size(), 32);
      ++frames;
    }
    phone_.Ping();
  }
  EXPECT_LE(frames, 5u);
  EXPECT_GE(frames, 3u);
}

TEST_F(ServiceTest, AnUnansweredCallIsMissed) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  alice_.Send(PlaceCall("bob"));
  world_.Advance(45'000);
  EXPECT_EQ(Count(phone_.Events(), &api::ServerFrame::has_notices), 1u);
}

TEST_F(ServiceTest, WhatMustReachTheStoreIsTriedAgain) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  alice_.Send(PlaceCall("bob"));
  world_.Advance(44'000);
  world_.store.full = true;
  world_.Advance(2'000);
  EXPECT_EQ(Count(phone_.Events(), &api::ServerFrame::has_notices), 0u);
  world_.store.full = false;
  world_.Advance(11'000);
  EXPECT_EQ(Count(phone_.Events(), &api::ServerFrame::has_notices), 1u) << "the missed call";
}

}  // namespace
}  // namespace sotto::signaling
