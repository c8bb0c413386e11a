// SPDX-License-Identifier: Apache-2.0
// What the tests of the service share: requests, and three devices in a world.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "signaling/service/service_world.h"

namespace sotto::signaling {

inline std::string Body(size_t size = 512, char fill = 'o') { return std::string(size, fill); }

inline api::ClientFrame PlaceCall(const std::string& recipient, char place = 'p') {
  api::ClientFrame frame;
  frame.mutable_place_call()->set_place_id(std::string(16, place));
  frame.mutable_place_call()->set_recipient(recipient);
  frame.mutable_place_call()->set_offer(Body());
  return frame;
}
inline api::ClientFrame Settings(bool silence, bool protect = false) {
  api::ClientFrame frame;
  frame.mutable_put_settings()->mutable_settings()->set_silence_unknown_callers(silence);
  frame.mutable_put_settings()->mutable_settings()->set_protect_ip_address(protect);
  return frame;
}
inline api::ClientFrame GetKeys(const std::string& account) {
  api::ClientFrame frame;
  frame.mutable_get_keys()->set_account(account);
  return frame;
}

template <typename Has>
size_t Count(const std::vector<api::ServerFrame>& frames, Has has) {
  return static_cast<size_t>(
      std::count_if(frames.begin(), frames.end(), [&](const auto& f) { return (f.*has)(); }));
}

class ServiceTest : public ::testing::Test {
 protected:
  ServiceWorld world_;
  DeviceForTest alice_{world_, "alice", 1};
  DeviceForTest phone_{world_, "bob", 2};
  DeviceForTest laptop_{world_, "bob", 3};
};

}  // namespace sotto::signaling
