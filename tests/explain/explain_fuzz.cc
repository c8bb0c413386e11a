// SPDX-License-Identifier: Apache-2.0
// Any frame: it is explained, and the steps that are told lead to the verdict that the dataplane
// came to. The scene is that of tests/fixtures; the input's first byte says on which of its ports
// the frame arrives, and whether its IPv4 header checksum is made right.
#include <rte_eal.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "dataplane/observe/explain.h"
#include "relay/base/big_endian.h"
#include "relay/base/checksum.h"
#include "tests/fixtures/scene.h"

namespace {

using namespace sotto::dataplane;  // NOLINT(google-build-using-namespace)
namespace relay = sotto::relay;

constexpr uint8_t kSecondPort = 1;
constexpr uint8_t kRightChecksum = 2;

void FixIpv4Checksum(std::vector<uint8_t>& frame) {
  const size_t ip = frame.size() > 16 && frame[12] == 0x81 ? 18 : 14;
  if (frame.size() < ip + 20 || sotto::LoadBe16(&frame[ip - 2]) != kEtherTypeIpv4) return;
  const size_t header_size = (frame[ip] & 0x0f) * 4u;
  if (header_size < 20 || ip + header_size > frame.size()) return;
  frame[ip + 10] = frame[ip + 11] = 0;
  const uint16_t checksum = sotto::ChecksumOf(sotto::SumWords(&frame[ip], header_size));
  std::memcpy(&frame[ip + 10], &checksum, sizeof(checksum));
}

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char*** argv) {
  std::vector<std::string> arguments = {
      (*argv)[0], "--no-huge", "--no-shconf", "--no-pci", "-m", "64", "--no-telemetry", "-l", "0"};
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  Check(rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) >= 0);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Scene scene;
  static Explainer explainer(scene.context(), scene.pool());
  if (size == 0) return 0;
  std::vector<uint8_t> frame(data + 1, data + size);
  if ((data[0] & kRightChecksum) != 0) FixIpv4Checksum(frame);
  const auto explained =
      explainer.Explain(frame, (data[0] & kSecondPort) != 0 ? "ring1" : "ring0", Scene::kNow,
                        [](sotto::relay::LegId leg) { return std::to_string(leg); });
  if (!explained.ok()) {
    Check(explained.status().code() == absl::StatusCode::kInvalidArgument);
    return 0;
  }
  const auto& steps = explained->steps;
  Check(steps.size() >= 2 && steps.front().what == "parse" && steps.back().what == "verdict");
  const std::string_view reached = steps[steps.size() - 2].what;
  switch (explained->verdict) {
    case Explanation::Verdict::kForward:
      Check(reached == "next hop" && !explained->frame.empty() && !explained->drop_reason);
      break;
    case Explanation::Verdict::kAnswer:
      Check(reached == "rewrite" && !explained->frame.empty() && !explained->drop_reason);
      break;
    case Explanation::Verdict::kControl:
      Check(explained->frame.empty() && (reached == "classify" || reached == "next hop"));
      break;
    case Explanation::Verdict::kDrop: {
      Check(explained->frame.empty() && explained->drop_reason && !explained->path);
      const DropReason reason = *explained->drop_reason;
      const bool on_its_way = reason == DropReason::kNextHopMissing ||
                              reason == DropReason::kTooBig || reason == DropReason::kNoBuffer;
      Check((reached == "next hop") == on_its_way);
      break;
    }
  }
  return 0;
}
