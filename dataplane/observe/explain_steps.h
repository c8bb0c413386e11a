// SPDX-License-Identifier: Apache-2.0
// The steps of an explanation: what the dataplane found on its way to a verdict. Told from the same
// parser, tables and records that the Forwarder asks, read only, in the order in which it asks.
// Where it stops, the telling stops too; explain_test.cc holds each against the other.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/observe/explanation.h"
#include "dataplane/worker/forwarder.h"

namespace sotto::dataplane {

// What the Forwarder made of the frame.
struct Outcome {
  const PuntNote* punt = nullptr;  // null: it wasn't handed to control
  // What is to be sent or was handed to control; empty if it was dropped.
  std::span<const uint8_t> frame = {};
};

// `explanation` has its verdict, and gets its steps. The control thread.
void AddSteps(const ForwarderContext& context, std::span<const uint8_t> frame, uint16_t port,
              uint64_t now_ms, const FrameExplainer::LegName& leg_name, const Outcome& outcome,
              Explanation& explanation);

}  // namespace sotto::dataplane
