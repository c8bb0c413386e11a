// SPDX-License-Identifier: Apache-2.0
#include "tools/phone/call_commands.h"

#include <algorithm>

#include "tools/phone/account_commands.h"
#include "tools/phone/phone_call.h"

namespace sotto::tools {

namespace asio = boost::asio;

namespace {

Session::Clock::time_point DeadlineOf(double seconds) {
  if (seconds <= 0) return Session::Clock::time_point::max();
  return Session::Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

}  // namespace

asio::awaitable<int> MakeCall(Session& session, CallOptions options) {
  WaitingCalls waiting;
  PhoneCall call(session, CallSide::kCaller, options.media, waiting);
  co_return co_await call.Place(options);
}

asio::awaitable<int> AnswerCalls(Session& session, AnswerOptions options) {
  session.log().Write("waiting");
  WaitingCalls waiting;
  uint32_t taken = 0;
  int outcome = kDone;
  auto deadline = DeadlineOf(options.wait_s);
  while (options.calls == 0 || taken < options.calls) {
    if (!waiting.empty()) {
      api::IncomingCall incoming = std::move(waiting.front());
      waiting.pop_front();
      ++taken;
      deadline = Session::Clock::time_point::max();
      PhoneCall call(session, CallSide::kRecipient, options.media, waiting);
      outcome = std::max(outcome, co_await call.Take(std::move(incoming), options));
      if (call.over()) co_return outcome;
      continue;
    }
    const auto next = co_await session.Next(deadline);
    if (!next) co_return kNotAnswered;
    if (std::holds_alternative<Interrupted>(*next)) co_return outcome;
    if (const auto* ended = std::get_if<Ended>(&*next)) {
      if (!ended->why.ok()) co_return Fail(session.log(), ended->why);
      co_return outcome;
    }
    if (const auto* frame = std::get_if<api::ServerFrame>(&*next)) {
      if (frame->has_incoming_call()) {
        waiting.push_back(frame->incoming_call());
      } else {
        co_await HandleAccountFrame(session, *frame);
      }
    }
  }
  co_return outcome;
}

asio::awaitable<int> Watch(Session& session, double seconds) {
  session.log().Write("waiting");
  const auto deadline = DeadlineOf(seconds);
  for (;;) {
    const auto next = co_await session.Next(deadline);
    if (!next || std::holds_alternative<Interrupted>(*next)) co_return kDone;
    if (const auto* ended = std::get_if<Ended>(&*next)) {
      if (!ended->why.ok()) co_return Fail(session.log(), ended->why);
      co_return kDone;
    }
    const auto* frame = std::get_if<api::ServerFrame>(&*next);
    if (frame == nullptr || co_await HandleAccountFrame(session, *frame)) continue;
    if (frame->has_incoming_call()) {
      const auto& incoming = frame->incoming_call();
      session.log().Write("incoming", {{"call", ToHex(AsBytes(incoming.call()))},
                                       {"caller", incoming.caller()},
                                       {"with_token", incoming.with_token()},
                                       {"rings_for_s", incoming.rings_for_s()}});
    } else if (frame->has_call_stopped()) {
      session.log().Write("stopped",
                          {{"call", ToHex(AsBytes(frame->call_stopped().call()))},
                           {"why", api::CallStopped::Why_Name(frame->call_stopped().why())}});
    }
  }
}

}  // namespace sotto::tools
