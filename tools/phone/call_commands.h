// SPDX-License-Identifier: Apache-2.0
// Commands that make, take and watch calls. Each returns an exit code (phone_options.h).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>

#include "tools/phone/session.h"

namespace sotto::tools {

struct MediaOptions {
  bool media = true;
  double seconds = 5;  // of media, or of the call without it; 0: until the other side ends
  uint32_t pps = 50;
  uint32_t payload = 160;
};

struct CallOptions {
  std::string recipient;
  std::string token = "auto";  // "none", or 170 hexadecimal digits
  bool invite = false;         // an invitation goes with the offer
  MediaOptions media;
};
// kDone if the call was connected and all went well; kNotAnswered, kBadMedia.
boost::asio::awaitable<int> MakeCall(Session& session, CallOptions options);

struct AnswerOptions {
  uint32_t calls = 0;  // then it ends; 0: never
  double wait_s = 0;   // for the first call; 0: for ever
  bool decline = false;
  double ring_s = 0;  // lets it ring so long before it answers
  MediaOptions media;
};
boost::asio::awaitable<int> AnswerCalls(Session& session, AnswerOptions options);

// Says what happens, and takes no call.
boost::asio::awaitable<int> Watch(Session& session, double seconds);

}  // namespace sotto::tools
