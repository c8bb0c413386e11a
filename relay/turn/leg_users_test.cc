// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/leg_users.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

namespace sotto::relay {
namespace {

TEST(LegUsersTest, TheLegsOfAUserHaveOneNumber) {
  LegUsers users;
  EXPECT_EQ(users.Add(7, "ann"), 1u);
  EXPECT_EQ(users.Add(3, "bob"), 2u);
  EXPECT_EQ(users.Add(0, "ann"), 1u);
  EXPECT_EQ(users.Of(7), 1u);
  EXPECT_EQ(users.Of(3), 2u);
  EXPECT_EQ(users.Of(5), 0u);
  EXPECT_EQ(users.Of(1000), 0u);
  EXPECT_EQ(users.users(), 2u);
}

TEST(LegUsersTest, ANumberIsFreeWithItsLastLeg) {
  LegUsers users;
  users.Add(1, "ann");
  users.Add(2, "ann");
  users.Add(3, "bob");
  users.Remove(1);
  EXPECT_EQ(users.Add(4, "carol"), 3u);
  users.Remove(2);
  users.Remove(2);  // of nobody by now
  EXPECT_EQ(users.Add(5, "dave"), 1u);
  EXPECT_EQ(users.Add(6, "ann"), 4u);
}

TEST(LegUsersTest, NumbersStayDenseAndAUsersOwn) {
  LegUsers users;
  std::map<LegId, std::string> legs;
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const LegId leg = random() % 64;
    if (legs.erase(leg) > 0) {
      users.Remove(leg);
    } else {
      const std::string name = "a-user-with-a-long-name-" + std::to_string(random() % 50);
      legs[leg] = name;
      // Never above as many as there have been legs.
      ASSERT_LE(users.Add(leg, name), 64u);
    }
    std::map<std::string, UserNumber> numbers;
    std::set<UserNumber> distinct;
    for (const auto& [id, name] : legs) {
      const auto [known, added] = numbers.emplace(name, users.Of(id));
      ASSERT_EQ(known->second, users.Of(id));
      ASSERT_EQ(distinct.insert(users.Of(id)).second, added);
    }
    ASSERT_EQ(users.users(), numbers.size());
  }
}

}  // namespace
}  // namespace sotto::relay
