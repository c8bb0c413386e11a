// SPDX-License-Identifier: Apache-2.0
// Any bytes as WebSocket messages, of a stranger and of two devices that call each other: nothing
// crashes, a stranger leaves nothing behind, and when all have gone, all is gone.
//
// An input is a row of steps: who(1) | size(2) | bytes. Of who, the lower two bits are 0 for a new
// connection without a session, 1 for alice, 2 for bob, 3 for time that passes; bit 2 asks that a
// frame which parses gets the numbers that it ought to have, so that requests are reached.

#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "signaling/service/service_world.h"

namespace sotto::signaling {
namespace {

class Door {
 public:
  explicit Door(ServiceWorld& world) : world_(world) {
    if (!alice_.Connect() || !bob_.Connect()) std::abort();
  }

  void Run(std::span<const uint8_t> input) {
    while (input.size() >= 3) {
      const uint8_t who = input[0];
      const size_t size = std::min<size_t>(input[1] * 256u + input[2], input.size() - 3);
      Step(who, input.subspan(3, size));
      input = input.subspan(3 + size);
    }
    for (DeviceForTest* const device : {&alice_, &bob_})
      world_.service->OnClosed(device->connection().id);
    world_.Advance(200'000);  // longer than a session waits to be resumed
    const Service::Counters left = world_.service->counters();
    if (left.sessions != 0 || left.connections != 0 || world_.service->call_counters().calls != 0) {
      std::abort();
    }
  }

 private:
  void Step(uint8_t who, std::span<const uint8_t> message) {
    switch (who & 3) {
      case 0: {
        const uint32_t before = world_.service->counters().sessions;
        ConnectionForTest& connection = world_.Connect();
        world_.service->OnMessage(connection.id, message);
        world_.Settle();
        world_.service->OnClosed(connection.id);
        if (world_.service->counters().sessions > before || !connection.frames.empty())
          std::abort();
        break;
      }
      case 3:
        world_.Advance(message.empty() ? 1 : message[0] * 1000u);
        break;
      default: {
        DeviceForTest& device = (who & 3) == 1 ? alice_ : bob_;
        device.Take();
        if (device.connection().closed && !device.Resume()) device.Connect();
        api::ClientFrame frame;
        if ((who & 4) != 0 &&
            frame.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
          if (frame.has_ping()) return device.Ping();
          device.Send(std::move(frame));
        } else {
          world_.service->OnMessage(device.connection().id, message);
        }
        world_.Settle();
      }
    }
  }

  ServiceWorld& world_;
  DeviceForTest alice_{world_, "alice", 1};
  DeviceForTest bob_{world_, "bob", 2};
};

}  // namespace
}  // namespace sotto::signaling

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  google::protobuf::SetLogHandler(nullptr);
  // What the world of tests expects is to hold here too.
  GTEST_FLAG_SET(break_on_failure, true);
  // A world costs more than most inputs; what is left in its store doesn't reach far.
  static std::unique_ptr<sotto::signaling::ServiceWorld> world;
  static int inputs = 0;
  if (inputs++ % 64 == 0) world = std::make_unique<sotto::signaling::ServiceWorld>();
  sotto::signaling::Door(*world).Run({data, size});
  return 0;
}
