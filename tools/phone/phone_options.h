// SPDX-License-Identifier: Apache-2.0
// What a sotto-phone is told of its server and of itself, whatever the command.
#pragma once

#include <cstdint>
#include <string>

#include "tools/signaling_client/endpoint.h"

namespace sotto::tools {

struct PhoneOptions {
  std::string server;  // wss://HOST:PORT/v1
  TlsOptions tls;
  // One of: a JWT; a file with one; an account for which the server issues one for development.
  std::string identity;
  std::string identity_file;
  std::string development;
  std::string state = "sotto-phone.json";
  bool trace = false;       // an event for each frame
  double drop_after_s = 0;  // cuts the connection once, as a failing network does
};

// Exit codes.
constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kBadCommandLine = 2;
constexpr int kNotAnswered = 3;
constexpr int kBadMedia = 4;

}  // namespace sotto::tools
