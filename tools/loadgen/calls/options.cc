// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/calls/options.h"

#include <fmt/format.h>

#include "tools/media/media_packet.h"

namespace sotto::tools {

absl::Status CallsOptions::Validate() const {
  const auto wrong = [](const std::string& message) { return absl::InvalidArgumentError(message); };
  if (server.port == 0) return wrong("--server needs a port other than 0; TURN's is 3478");
  if (secret.empty() == user.empty()) {
    return wrong("give --user and --password, or --secret");
  }
  if (!user.empty() && password.empty()) return wrong("--user needs --password");
  if (call_policy && secret.empty()) {
    return wrong("--call-policy needs --secret, as each leg has its own credentials");
  }
  for (const IpAddress& ip : local) {
    if (ip.family() != server.ip.family()) {
      return wrong(fmt::format("--local {} and --server {} must be of the same IP family",
                               ip.ToString(), server.ToString()));
    }
  }
  if (calls < 1 || calls > 500'000) return wrong("--calls must be from 1 to 500000");
  if (!(pps >= 0.1 && pps <= 1e8)) return wrong("--pps must be from 0.1 to 100000000");
  if (payload < kMinMediaPacketSize || payload > kMaxPayload) {
    return wrong(
        fmt::format("--payload must be from {} to {} bytes; the first {} identify the packet",
                    kMinMediaPacketSize, kMaxPayload, kMinMediaPacketSize));
  }
  if (!(seconds > 0 && seconds <= 1e6))
    return wrong("--seconds must be above 0 and at most 1000000");
  if (!(warmup >= 0 && warmup <= 1e5)) return wrong("--warmup must be from 0 to 100000 seconds");
  if (threads < 1 || threads > 256) return wrong("--threads must be from 1 to 256");
  if (max_loss_percent > 100) return wrong("--max-loss must be from 0 to 100 percent");
  return absl::OkStatus();
}

}  // namespace sotto::tools
