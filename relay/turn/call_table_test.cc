// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/call_table.h"

#include <gtest/gtest.h>

#include "relay/turn/call_name.h"

namespace sotto::relay {
namespace {

TEST(CallName, IsACallIdAndASide) {
  const auto a = ParseCallName("q7Rk-02._~/a");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->call, "q7Rk-02._~");
  EXPECT_EQ(a->side, 0);
  EXPECT_EQ(ParseCallName("x/b")->side, 1);
  EXPECT_EQ(FormatCallName("x", 0), "x/a");
  EXPECT_EQ(FormatCallName("x", 1), "x/b");
  EXPECT_TRUE(ParseCallName(std::string(64, 'x') + "/a"));
}

TEST(CallName, IsNothingElse) {
  const std::string too_long = std::string(65, 'x') + "/a";
  for (std::string_view text :
       {std::string_view(""), std::string_view("/a"), std::string_view("x"), std::string_view("x/"),
        std::string_view("x/c"), std::string_view("x/A"), std::string_view("x/ab"),
        std::string_view("x/y/a"), std::string_view("x y/a"), std::string_view("x:y/a"),
        std::string_view("x\0/a", 4), std::string_view("\xc3\xa9/a"), std::string_view(too_long)}) {
    EXPECT_FALSE(ParseCallName(text)) << text;
  }
}

TEST(CallTable, ACallLastsAsLongAsItsLegs) {
  CallTable calls(10);
  const uint32_t number = calls.AddLeg("x", 1, 0, false, 0);
  EXPECT_EQ(calls.AddLeg("x", 2, 1, false, 0), number);
  EXPECT_NE(calls.AddLeg("y", 3, 0, false, 0), number);
  EXPECT_EQ(calls.Get(number)->LegsOf(0), 1u);
  calls.RemoveLeg(number, 1, 0);
  EXPECT_EQ(calls.Find("x", 0), number);
  calls.RemoveLeg(number, 2, 0);
  EXPECT_EQ(calls.Find("x", 0), 0u);
  EXPECT_EQ(calls.size(), 1u);
}

TEST(CallTable, AnArmedCallIsRememberedWithoutLegsForAWhile) {
  CallTable calls(10);
  const uint32_t number = calls.AddIdle("x", 0);
  EXPECT_EQ(calls.Find("x", kIdleCallMs - 1), number);
  EXPECT_EQ(calls.Find("x", kIdleCallMs), 0u);
  EXPECT_EQ(calls.AddLeg("x", 1, 0, false, 1000), number);
  EXPECT_TRUE(calls.Get(number)->armed);
  EXPECT_EQ(calls.idle(), 0u);
  calls.RemoveLeg(number, 1, 2000);  // reconnecting
  EXPECT_EQ(calls.Find("x", 2000 + kIdleCallMs - 1), number);
  calls.Tick(2000 + kIdleCallMs, 10);
  EXPECT_EQ(calls.size(), 0u);
  EXPECT_EQ(calls.idle(), 0u);
}

TEST(CallTable, ACallThatWasForgottenIsNotArmedAgain) {
  CallTable calls(10);
  calls.AddIdle("x", 0);
  const uint32_t number = calls.AddLeg("x", 1, 0, false, kIdleCallMs);
  EXPECT_FALSE(calls.Get(number)->armed);
  EXPECT_EQ(calls.idle(), 0u);
}

TEST(CallTable, RemembersABoundedNumberOfIdleCalls) {
  CallTable calls(2);
  EXPECT_NE(calls.AddIdle("x", 0), 0u);
  EXPECT_NE(calls.AddIdle("x", 0), 0u);  // the same one again
  EXPECT_NE(calls.AddIdle("y", 0), 0u);
  EXPECT_EQ(calls.AddIdle("z", 0), 0u);
  const uint32_t number = calls.AddLeg("z", 1, 0, true, 0);
  calls.RemoveLeg(number, 1, 0);  // no room to remember it
  EXPECT_EQ(calls.Find("z", 0), 0u);
  EXPECT_EQ(calls.idle(), 2u);
  EXPECT_EQ(calls.size(), 2u);
}

TEST(CallTable, TickReachesEveryCallInTurn) {
  CallTable calls(100);
  for (int i = 0; i < 50; ++i) calls.AddIdle(std::to_string(i), 0);
  for (int i = 0; i < 13; ++i) calls.Tick(kIdleCallMs, 4);
  EXPECT_EQ(calls.size(), 0u);
}

}  // namespace
}  // namespace sotto::relay
