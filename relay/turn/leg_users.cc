// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/leg_users.h"

#include <algorithm>
#include <functional>

namespace sotto::relay {

UserNumber LegUsers::Add(LegId leg, std::string_view user) {
  const UserNumber number = Take(user);
  ++users_[number - 1].legs;
  if (leg >= of_.size()) of_.resize(leg + 1);
  return of_[leg] = number;
}

UserNumber LegUsers::Take(std::string_view user) {
  const auto known = numbers_.find(absl::string_view(user.data(), user.size()));
  if (known != numbers_.end()) return known->second;
  UserNumber number;
  if (free_.empty()) {
    users_.emplace_back();
    number = static_cast<UserNumber>(users_.size());
  } else {
    std::ranges::pop_heap(free_, std::greater());
    number = free_.back();
    free_.pop_back();
  }
  std::string& name = users_[number - 1].name;
  name = user;
  numbers_[name] = number;
  return number;
}

void LegUsers::Remove(LegId leg) {
  const UserNumber number = Of(leg);
  if (number == 0) return;
  of_[leg] = 0;
  User& user = users_[number - 1];
  if (--user.legs > 0) return;
  numbers_.erase(user.name);
  user.name = std::string();
  free_.push_back(number);
  std::ranges::push_heap(free_, std::greater());
}

}  // namespace sotto::relay
