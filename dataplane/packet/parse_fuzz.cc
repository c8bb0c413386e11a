// SPDX-License-Identifier: Apache-2.0
// Any frame: it is dropped, or what was found of it lies within it.
#include <cstdlib>
#include <vector>

#include "dataplane/packet/parse.h"
#include "dataplane/packet/payload.h"

namespace {

using namespace sotto::dataplane;  // NOLINT(google-build-using-namespace)

const InterfaceTable& Interfaces() {
  static const InterfaceTable interfaces = [] {
    Interface interface;
    interface.name = "port";
    interface.mac = MacAddress{{2, 0, 0, 0, 0, 1}};
    interface.addresses = {
        {sotto::IpAddress::V4(198, 51, 100, 1), sotto::IpPrefix::Parse("198.51.100.0/24").value()},
        {sotto::IpAddress::Parse("2001:db8:1::1").value(),
         sotto::IpPrefix::Parse("2001:db8:1::/64").value()}};
    Interface tagged = interface;
    tagged.vlan = 100;
    tagged.addresses = {
        {sotto::IpAddress::V4(203, 0, 113, 1), sotto::IpPrefix::Parse("203.0.113.0/24").value()}};
    return InterfaceTable::Create({interface, tagged}).value();
  }();
  return interfaces;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const LocalAddresses locals(Interfaces(), {});
  FrameHints hints;
  hints.ip_checksum_good = true;  // so that the fuzzer gets past it
  ParsedFrame parsed;
  ParseFrame({data, size}, hints, Interfaces(), locals, parsed);
  if (parsed.verdict == ParseVerdict::kDrop) {
    if (parsed.drop >= DropReason::kCount) std::abort();
    return 0;
  }
  if (parsed.verdict != ParseVerdict::kUdp) return 0;
  if (size_t{parsed.payload_offset()} + parsed.payload_size > size) std::abort();
  // A copy of exact size: what reads past its end is seen.
  std::vector<uint8_t> frame(data, data + parsed.payload_offset() + parsed.payload_size);
  FinishUdpChecksum(frame.data(), parsed);
  const bool held = UdpChecksumHolds(frame.data(), parsed);
  // Taking nothing off and putting the same headers back must keep the checksum's truth.
  const HeaderTemplate same({SourceOf(frame.data(), parsed), parsed.source_port},
                            {DestinationOf(frame.data(), parsed), parsed.destination_port},
                            kNoNextHop);
  Payload payload(frame.data(), parsed);
  const uint16_t checksum = payload.ChecksumBehind(same);
  std::memcpy(&frame[parsed.udp_offset + 6], &checksum, 2);
  if (UdpChecksumHolds(frame.data(), parsed) != held) std::abort();
  return 0;
}
