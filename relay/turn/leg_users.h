// SPDX-License-Identifier: Apache-2.0
// Whose the legs are, as numbers: for what a plane keeps for each user.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "relay/forwarding.h"

namespace sotto::relay {

// One thread only.
class LegUsers {
 public:
  // Makes room for so many legs and users at once, as to make it while they come would take long.
  void Reserve(size_t legs) {
    of_.reserve(legs);
    numbers_.reserve(legs);
  }
  // `leg` is new. Numbers are those of ForwardingLeg::user: a user's is the lowest that was free.
  UserNumber Add(LegId leg, std::string_view user);
  // Nobody's, if it isn't known.
  UserNumber Of(LegId leg) const { return leg < of_.size() ? of_[leg] : 0; }
  // A user's number is free when it has no leg any more.
  void Remove(LegId leg);
  size_t users() const { return numbers_.size(); }

 private:
  struct User {
    std::string name;
    uint32_t legs = 0;
  };

  UserNumber Take(std::string_view user);

  std::vector<UserNumber> of_;  // by LegId
  std::deque<User> users_;      // by number - 1
  std::vector<UserNumber> free_;
  absl::flat_hash_map<absl::string_view, UserNumber> numbers_;  // keys are in users_
};

}  // namespace sotto::relay
