// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/server.h"

#include <utility>

#include "relay/turn/server_impl.h"

namespace sotto::relay {

Server::Server(ServerOptions options, ForwardingPlane& plane)
    : impl_(std::make_unique<Impl>(std::move(options), plane)) {}
Server::~Server() = default;

Outcome Server::HandleClientDatagram(const ClientPath& path, std::span<const uint8_t> datagram,
                                     const Now& now, std::span<uint8_t> buffer) {
  return impl_->HandleClientDatagram(path, datagram, now, buffer);
}
Outcome Server::HandlePeerDatagram(const TransportAddress& relayed, const TransportAddress& peer,
                                   std::span<const uint8_t> datagram, const Now& now,
                                   std::span<uint8_t> buffer) {
  return impl_->HandlePeerDatagram(relayed, peer, datagram, now, buffer);
}
Outcome Server::HandlePeerError(const TransportAddress& relayed, const TransportAddress& peer,
                                const IcmpError& error, const Now& now, std::span<uint8_t> buffer) {
  return impl_->HandlePeerError(relayed, peer, error, now, buffer);
}
void Server::Tick(const Now& now, uint32_t budget) { impl_->Tick(now, budget); }

absl::Status Server::ArmCall(std::string_view call, const Now& now) {
  return impl_->ArmCall(call, now);
}
absl::Status Server::DisarmCall(std::string_view call, const Now& now) {
  return impl_->DisarmCall(call, now);
}
absl::Status Server::EndCall(std::string_view call, const Now& now) {
  return impl_->EndCall(call, now);
}
void Server::ObserveLegs(std::function<void(const LegChange&)> observer) {
  impl_->ObserveLegs(std::move(observer));
}
absl::StatusOr<CallInfo> Server::FindCall(std::string_view call, const Now& now) const {
  return impl_->FindCall(call, now);
}
uint32_t Server::ForEachCall(uint32_t first, uint32_t budget, const Now& now,
                             const std::function<void(const CallInfo&)>& visit) const {
  return impl_->ForEachCall(first, budget, now, visit);
}
absl::Status Server::EndAllocation(LegId id, const Now& now) {
  return impl_->EndAllocation(id, now);
}
LegId Server::ForEachAllocation(LegId first, uint32_t budget, bool bindings,
                                const std::function<void(const AllocationInfo&)>& visit) const {
  return impl_->ForEachAllocation(first, budget, bindings, visit);
}

absl::Status Server::Reconfigure(const ServerOptions& options) {
  return impl_->Reconfigure(options);
}
void Server::Drain(std::optional<MonotonicMs> deadline, bool for_good) {
  impl_->Drain(deadline, for_good);
}
void Server::Undrain() { impl_->Undrain(); }
const DrainState& Server::drain() const { return impl_->drain(); }

uint32_t Server::allocation_count() const { return impl_->allocation_count(); }
uint32_t Server::call_count() const { return impl_->call_count(); }
uint32_t Server::armed_call_count() const { return impl_->armed_call_count(); }
uint32_t Server::ports_in_use() const { return impl_->ports_in_use(); }
uint32_t Server::ports_held() const { return impl_->ports_held(); }
const ServerCounters& Server::counters() const { return impl_->counters(); }
const ServerOptions& Server::options() const { return impl_->options(); }

}  // namespace sotto::relay
