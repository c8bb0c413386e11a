// SPDX-License-Identifier: Apache-2.0
// The running server, as those see it who report on it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "signaling/decision/store_thread.h"
#include "signaling/relay_client/relay_fleet.h"
#include "signaling/service/service.h"
#include "signaling/signald/front/listener.h"

namespace sotto::signaling {

// All of it must outlive those who hold it.
struct LiveServer {
  std::string version;
  MonotonicMs started_ms = 0;
  uint32_t standing_window_s = 0;  // DeciderOptions
  // The service's thread:
  Service& service;
  StoreClient& store_client;
  const Listener& listener;
  // Any thread, as far as their headers say so:
  const StoreThread& store;
  const RelayFleet& relays;
  std::function<ServiceTime()> clock;
};

}  // namespace sotto::signaling
