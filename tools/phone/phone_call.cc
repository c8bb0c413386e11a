// SPDX-License-Identifier: Apache-2.0
#include "tools/phone/phone_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "tools/phone/account_commands.h"

namespace sotto::tools {
namespace {

namespace asio = boost::asio;
using Json = EventLog::Json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr auto kPeerHangsUp = seconds(3);  // the caller, once all media is through
constexpr auto kServerEndsCall = seconds(5);
constexpr auto kRelease = seconds(1);
constexpr size_t kMaxWaitingCalls = 16;

std::string Lower(std::string_view name, std::string_view prefix) {
  std::string text(name.starts_with(prefix) ? name.substr(prefix.size()) : name);
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

std::string NameOf(api::CallEnded::Why why) { return Lower(api::CallEnded::Why_Name(why), "WHY_"); }
std::string NameOf(api::CallStopped::Why why) {
  return Lower(api::CallStopped::Why_Name(why), "WHY_");
}

Session::Clock::time_point After(double s) {
  return Session::Clock::now() + milliseconds(static_cast<int64_t>(s * 1000));
}

std::optional<TransportAddress> ReadAddress(const api::TransportAddress& address) {
  const auto bytes = AsBytes(address.ip());
  if (address.port() < 1 || address.port() > 65535) return std::nullopt;
  const auto port = static_cast<uint16_t>(address.port());
  if (bytes.size() == 4) return TransportAddress{IpAddress::V4(bytes.first<4>()), port};
  if (bytes.size() == 16) {
    return TransportAddress{IpAddress::V6(bytes.first<16>()), port};
  }
  return std::nullopt;
}

double Us(uint64_t ns) { return static_cast<double>(ns) / 1000; }

}  // namespace

PhoneCall::PhoneCall(Session& session, CallSide side, MediaOptions options, WaitingCalls& waiting)
    : session_(session), side_(side), options_(options), waiting_(waiting) {}

asio::awaitable<absl::Status> PhoneCall::FindRecipient(const std::string& recipient) {
  const auto& contacts = session_.state().state().contacts;
  if (const auto known = contacts.find(recipient); known != contacts.end()) {
    peer_keys_ = known->second.keys;
    co_return absl::OkStatus();
  }
  api::ClientFrame frame;
  frame.mutable_get_keys()->set_account(recipient);
  const auto answer = co_await session_.Ask(std::move(frame));
  if (!answer.ok()) co_return answer.status();
  const auto box = ReadKey(answer->keys().keys().box(), "the box key that the server gives");
  const auto sign = ReadKey(answer->keys().keys().sign(), "the sign key that the server gives");
  if (!box.ok()) co_return box.status();
  if (!sign.ok()) co_return sign.status();
  peer_keys_ = AccountPublicKeys{*box, *sign};
  session_.log().Write("keys_by_server", {{"account", recipient}});
  co_return absl::OkStatus();
}

absl::StatusOr<std::string> PhoneCall::FindToken(const CallOptions& options) {
  if (options.token == "none") return "";
  if (options.token != "auto") {
    auto token = FromHex(options.token);
    if (!token.ok() || token->size() != kTokenSize) {
      return absl::InvalidArgumentError(
          fmt::format("--token must be auto, none or {} hexadecimal digits", 2 * kTokenSize));
    }
    return token;
  }
  // Taken before it is used: a call may use it up without the caller ever knowing.
  const uint32_t epoch = EpochAt(session_.ServerUnixS());
  std::string token;
  auto status = session_.state().Update([&](PhoneState& state) {
    const auto contact = state.contacts.find(options.recipient);
    if (contact == state.contacts.end()) return absl::OkStatus();
    auto& tokens = contact->second.tokens;
    const auto live = std::find_if(tokens.begin(), tokens.end(), [&](const std::string& t) {
      const uint32_t of = ReadToken(t)->epoch;
      return of == epoch || of + 1 == epoch;
    });
    if (live == tokens.end()) return absl::OkStatus();
    token = *live;
    tokens.erase(live);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return token;
}

e2e::Media PhoneCall::OwnMedia() const {
  e2e::Media media;
  media.set_secret_share(AsString(share_.public_key));
  e2e::Stream& stream = *media.add_streams();
  stream.set_kind(e2e::Stream::KIND_AUDIO);
  stream.set_sends(true);
  return media;
}

asio::awaitable<int> PhoneCall::Place(const CallOptions& options) {
  caller_ = session_.welcome().account();
  recipient_ = options.recipient;
  if (auto status = co_await FindRecipient(recipient_); !status.ok()) {
    co_return tools::Fail(session_.log(), status);
  }
  e2e::Offer offer;
  if (options.invite) {
    constexpr IssueOptions kToCallBack{.count = 5, .uses = 1};
    auto invitation = co_await MakeInvitation(session_, kToCallBack);
    if (!invitation.ok()) co_return tools::Fail(session_.log(), invitation.status());
    *offer.mutable_invitation() = *std::move(invitation);
  }
  auto token = FindToken(options);
  if (!token.ok()) co_return tools::Fail(session_.log(), token.status());

  const AccountSecret& secret = session_.state().state().secret;
  const AccountPublicKeys own = secret.PublicKeys();
  offer.set_caller(caller_);
  offer.set_recipient(recipient_);
  offer.set_box(AsString(box_.public_key));
  offer.set_caller_box(AsString(own.box));
  offer.set_caller_sign(AsString(own.sign));
  *offer.mutable_media() = OwnMedia();
  auto sealed = SealOffer(offer, secret.Sign(), peer_keys_->box);
  if (!sealed.ok()) co_return tools::Fail(session_.log(), sealed.status());
  offer_hash_ = sealed->hash;

  auto& place = *place_.mutable_place_call();
  place.set_place_id(RandomBytes(16));
  place.set_recipient(recipient_);
  place.set_token(*token);
  place.set_offer(std::move(sealed->bytes));
  if (auto status = co_await AskToPlace(); !status.ok()) {
    co_return tools::Fail(session_.log(), status);
  }
  co_await Converse();
  co_return Outcome();
}

asio::awaitable<absl::Status> PhoneCall::AskToPlace() {
  const auto answer = co_await session_.Ask(place_);
  if (!answer.ok()) co_return answer.status();
  const api::CallPlaced& placed = answer->call_placed();
  if (placed.call().size() != 16)
    co_return absl::InternalError("the server's answer has no call id");
  const bool again = !call_.empty();
  if (again && placed.call() != call_) {
    co_return absl::InternalError("the server treats a repeated PlaceCall as another call");
  }
  call_ = placed.call();
  session_.log().Write("placed",
                       {{"call", ToHex(AsBytes(call_))},
                        {"recipient", recipient_},
                        {"with_token", !place_.place_call().token().empty()},
                        {"again", again},
                        {"relay", std::vector<std::string>(placed.relay().urls().begin(),
                                                           placed.relay().urls().end())}});
  if (options_.media && !leg_) OpenLeg(placed.relay());
  co_return absl::OkStatus();
}

asio::awaitable<int> PhoneCall::Take(api::IncomingCall incoming, const AnswerOptions& options) {
  incoming_ = std::move(incoming);
  call_ = incoming_.call();
  caller_ = incoming_.caller();
  recipient_ = session_.welcome().account();
  ring_s_ = options.ring_s;
  const auto& contacts = session_.state().state().contacts;
  if (const auto known = contacts.find(caller_); known != contacts.end()) {
    peer_keys_ = known->second.keys;
  }
  const bool known = peer_keys_.has_value();
  auto offer = OpenOffer(incoming_.offer(), session_.state().state().secret.Box(), caller_,
                         recipient_, peer_keys_);
  session_.log().Write("incoming",
                       {{"call", ToHex(AsBytes(call_))},
                        {"caller", caller_},
                        {"with_token", incoming_.with_token()},
                        {"token_serial", ToHex(AsBytes(incoming_.token_serial()))},
                        {"offer", offer.ok() ? "opened" : std::string(offer.status().message())},
                        {"caller_is_contact", known},
                        {"rings_for_s", incoming_.rings_for_s()}});
  if (!offer.ok() || options.decline) {
    api::ClientFrame frame;
    frame.mutable_decline_call()->set_call(call_);
    const auto done = co_await session_.Ask(std::move(frame));
    if (!done.ok()) co_return tools::Fail(session_.log(), done.status());
    session_.log().Write("declined", {{"call", ToHex(AsBytes(call_))}});
    co_return offer.ok() ? kDone : kFailed;
  }
  offer_ = *std::move(offer);
  offer_hash_ = Blake2b(AsBytes(incoming_.offer()));
  peer_keys_ =
      AccountPublicKeys{*ReadKey(offer_.caller_box(), ""), *ReadKey(offer_.caller_sign(), "")};
  peer_box_ = *ReadKey(offer_.box(), "");
  deadline_ = After(ring_s_);
  co_await Converse();
  co_return Outcome();
}

asio::awaitable<absl::Status> PhoneCall::Accept() {
  step_ = Step::kAccepted;
  deadline_ = Clock::time_point::max();
  e2e::Answer answer;
  answer.set_caller(caller_);
  answer.set_recipient(recipient_);
  answer.set_offer_hash(AsString(offer_hash_));
  answer.set_box(AsString(box_.public_key));
  *answer.mutable_media() = OwnMedia();
  auto sealed = SealAnswer(answer, session_.state().state().secret.Sign(), *peer_box_);
  if (!sealed.ok()) co_return sealed.status();
  // Only now, as what a recipient does before it accepts is nobody's business.
  if (options_.media) OpenLeg(incoming_.relay());
  api::ClientFrame frame;
  frame.mutable_accept_call()->set_call(call_);
  frame.mutable_accept_call()->set_answer(std::move(sealed->bytes));
  const auto done = co_await session_.Ask(std::move(frame));
  if (!done.ok()) co_return done.status();
  session_.log().Write("accepted", {{"call", ToHex(AsBytes(call_))}});
  // Whoever rings with a token, or is known, may be called back.
  const bool trusted =
      incoming_.with_token() || session_.state().state().contacts.contains(caller_);
  if (offer_.has_invitation() && trusted && offer_.invitation().account() == caller_ &&
      offer_.invitation().box() == offer_.caller_box() &&
      offer_.invitation().sign() == offer_.caller_sign()) {
    const auto tokens = TakeInvitation(session_.state(), offer_.invitation());
    if (!tokens.ok()) co_return tokens.status();
    session_.log().Write("contact", {{"account", caller_}, {"tokens", *tokens}});
  }
  co_return absl::OkStatus();
}

void PhoneCall::OpenLeg(const api::IceServer& relay) {
  auto leg = MediaLeg::Open(session_.io(), relay, [this](MediaLeg::News news) {
    session_.Happen(MediaNews{call_, news});
  });
  if (!leg.ok()) {
    Fail(leg.status());
    session_.Happen(MediaNews{call_, MediaLeg::News::kFailed});
    return;
  }
  leg_ = *std::move(leg);
}

absl::Status PhoneCall::StartMedia(const e2e::Media& peer) {
  const auto share = ReadKey(peer.secret_share(), "the other side's secret share");
  if (!share.ok()) {
    return absl::FailedPreconditionError(
        fmt::format("{}: the other side uses DTLS, which sotto-phone does not support",
                    std::string(share.status().message())));
  }
  auto cipher = MediaCipher::Make(side_, share_, *share, offer_hash_);
  if (!cipher.ok()) return cipher.status();
  leg_->SetCipher({.pps = options_.pps, .payload = options_.payload, .seconds = options_.seconds},
                  *std::move(cipher));
  return absl::OkStatus();
}

asio::awaitable<void> PhoneCall::Converse() {
  while (!ended_) {
    auto next = co_await session_.Next(deadline_);
    if (!next) {
      co_await OnDeadline();
    } else if (const auto* frame = std::get_if<api::ServerFrame>(&*next)) {
      co_await OnFrame(*frame);
    } else if (const auto* media = std::get_if<MediaNews>(&*next)) {
      if (media->call == call_) co_await OnNews(media->news);
    } else if (std::holds_alternative<SessionLost>(*next)) {
      // A caller that still rings places the same call again; everything else is over.
      const bool rings = side_ == CallSide::kCaller && step_ == Step::kRinging;
      const absl::Status status =
          rings ? co_await AskToPlace() : absl::UnavailableError("the session was lost");
      if (!status.ok()) {
        Fail(status);
        End("session_lost");
      }
    } else if (std::holds_alternative<Interrupted>(*next)) {
      session_.log().Write("interrupted");
      if (std::exchange(over_, true) || !was_connected_ || !leg_ || !leg_->report()) {
        co_await HangUp();
      } else {
        leg_->EndMedia();
      }
    } else {
      const absl::Status& why = std::get<Ended>(*next).why;
      over_ = true;
      Fail(why.ok() ? absl::UnavailableError("the server ended the session") : why);
      End("connection_lost");
    }
  }
  co_await ReleaseLeg();
  Report();
}

asio::awaitable<void> PhoneCall::OnFrame(const api::ServerFrame& frame) {
  if (frame.has_incoming_call()) {
    if (frame.incoming_call().call() != call_ && waiting_.size() < kMaxWaitingCalls) {
      waiting_.push_back(frame.incoming_call());
    }
  } else if (frame.has_call_stopped()) {
    const std::string& call = frame.call_stopped().call();
    std::erase_if(waiting_, [&](const api::IncomingCall& c) { return c.call() == call; });
    if (call == call_ && step_ != Step::kConnected) End(NameOf(frame.call_stopped().why()));
  } else if (frame.has_call_connected() && frame.call_connected().call() == call_) {
    OnConnected(frame.call_connected());
    if (step_ == Step::kConnected && !frame.call_connected().protect_address()) {
      co_await SendNoCandidates();
    }
    if (failed_) co_await HangUp();
  } else if (frame.has_call_ended() && frame.call_ended().call() == call_) {
    End(NameOf(frame.call_ended().why()));
  } else if (frame.has_peer_address() && frame.peer_address().call() == call_) {
    if (!leg_) co_return;
    for (const auto& address : frame.peer_address().relayed()) {
      const auto relayed = ReadAddress(address);
      if (relayed && relayed->ip.family() == leg_->server().ip.family()) leg_->SetPeer(*relayed);
    }
  } else if (frame.has_from_peer() && frame.from_peer().call() == call_ && peer_keys_) {
    const auto candidates =
        OpenCandidates(frame.from_peer().body(), box_, peer_keys_->sign, offer_hash_);
    session_.log().Write("candidates",
                         {{"count", candidates.ok() ? candidates->candidates_size() : -1},
                          {"complete", candidates.ok() && candidates->complete()}});
  } else {
    co_await HandleAccountFrame(session_, frame);
  }
}

void PhoneCall::OnConnected(const api::CallConnected& connected) {
  if (step_ == Step::kConnected || step_ == Step::kLeaving) return;
  const bool is_caller = side_ == CallSide::kCaller;
  e2e::Media peer_media;
  if (is_caller) {
    auto answer =
        OpenAnswer(connected.answer(), box_, peer_keys_->sign, caller_, recipient_, offer_hash_);
    if (!answer.ok()) {
      Fail(answer.status());
      return;
    }
    peer_box_ = *ReadKey(answer->box(), "");
    peer_media = answer->media();
  } else {
    peer_media = offer_.media();
  }
  step_ = Step::kConnected;
  was_connected_ = true;
  session_.log().Write("call_connected", {{"call", ToHex(AsBytes(call_))},
                                          {"protected", connected.protect_address()}});
  if (leg_) {
    if (auto status = StartMedia(peer_media); !status.ok()) Fail(status);
  } else if (options_.seconds > 0) {
    deadline_ = After(options_.seconds);
  }
}

// What this client has to say in a call that may go direct: that it stays on the relay.
asio::awaitable<void> PhoneCall::SendNoCandidates() {
  e2e::Candidates none;
  none.set_offer_hash(AsString(offer_hash_));
  none.set_complete(true);
  auto sealed = SealCandidates(none, session_.state().state().secret.Sign(), *peer_box_);
  if (!sealed.ok()) co_return;
  api::ClientFrame frame;
  frame.mutable_send_to_peer()->set_call(call_);
  frame.mutable_send_to_peer()->set_body(std::move(sealed->bytes));
  const auto done = co_await session_.Ask(std::move(frame));
  // The other side may have hung up by now.
  if (!done.ok() && !absl::IsNotFound(done.status())) Fail(done.status());
}

asio::awaitable<void> PhoneCall::OnNews(MediaLeg::News news) {
  switch (news) {
    case MediaLeg::News::kAllocated:
      session_.log().Write("allocated", {{"relay", leg_->server().ToString()},
                                         {"local", leg_->local().ToString()},
                                         {"relayed", leg_->relayed()->ToString()}});
      break;
    case MediaLeg::News::kFailed:
      if (leg_) Fail(leg_->status());
      co_await HangUp();
      break;
    case MediaLeg::News::kTalking:
      session_.log().Write("talking");
      break;
    case MediaLeg::News::kFinished:
      if (side_ == CallSide::kCaller || over_) {
        co_await HangUp();
      } else {
        deadline_ = Clock::now() + kPeerHangsUp;
      }
      break;
  }
}

asio::awaitable<void> PhoneCall::OnDeadline() {
  deadline_ = Clock::time_point::max();
  if (step_ == Step::kLeaving) {
    Fail(absl::DeadlineExceededError("the server did not confirm that the call ended"));
    End("unknown");
  } else if (side_ == CallSide::kRecipient && step_ == Step::kRinging) {
    if (auto status = co_await Accept(); !status.ok()) {
      Fail(status);
      End("not_accepted");
    }
  } else {
    co_await HangUp();
  }
}

asio::awaitable<void> PhoneCall::HangUp() {
  if (step_ == Step::kLeaving || ended_) co_return;
  if (side_ == CallSide::kRecipient && step_ == Step::kRinging) {
    End("left_ringing");  // on the other devices it goes on
    co_return;
  }
  step_ = Step::kLeaving;
  co_await ReleaseLeg();
  deadline_ = Clock::now() + kServerEndsCall;
  api::ClientFrame frame;
  frame.mutable_hang_up()->set_call(call_);
  const auto done = co_await session_.Ask(std::move(frame));
  if (absl::IsNotFound(done.status())) co_return;  // its end is on the way
  if (!done.ok()) {
    Fail(done.status());
    End("unknown");
  }
}

asio::awaitable<void> PhoneCall::ReleaseLeg() {
  if (!leg_ || leg_->released()) co_return;
  leg_->Release();
  asio::steady_timer pause(session_.io());
  const auto end = Clock::now() + kRelease;
  // The server may have ended the leg before; then nothing more comes of it.
  while (!leg_->released() && Clock::now() < end) {
    pause.expires_after(milliseconds(5));
    co_await pause.async_wait(kAwait);
  }
}

void PhoneCall::End(std::string why) {
  if (ended_) return;
  ended_ = true;
  session_.log().Write("ended", {{"call", ToHex(AsBytes(call_))}, {"why", std::move(why)}});
}

void PhoneCall::Fail(const absl::Status& status) {
  failed_ = true;
  tools::Fail(session_.log(), status);
}

void PhoneCall::Report() {
  if (!leg_ || !leg_->report()) return;
  const MediaReport& report = *leg_->report();
  const LatencyHistogram& latency = report.latency;
  Json fields = {{"call", ToHex(AsBytes(call_))},
                 {"sent", report.sent},
                 {"received", report.received},
                 {"lost", report.lost()},
                 {"duplicated", report.duplicated},
                 {"reordered", report.reordered},
                 {"corrupted", report.corrupted},
                 {"foreign", leg_->foreign()},
                 {"peer_sent", report.peer_sent ? Json(*report.peer_sent) : Json()},
                 {"relay", leg_->server().ToString()},
                 {"local", leg_->local().ToString()}};
  if (latency.count() > 0 && report.negative_latencies == 0) {
    fields["latency_us"] = {{"min", Us(latency.min())},
                            {"p50", Us(latency.Percentile(50))},
                            {"p99", Us(latency.Percentile(99))},
                            {"max", Us(latency.max())}};
  }
  session_.log().Write("media", std::move(fields));
}

int PhoneCall::Outcome() const {
  if (!was_connected_) return failed_ ? kFailed : kNotAnswered;
  if (options_.media) {
    const MediaReport* report = leg_ ? leg_->report() : nullptr;
    if (report == nullptr || report->received == 0 || report->corrupted > 0 ||
        leg_->foreign() > 0) {
      return kBadMedia;
    }
  }
  return failed_ ? kFailed : kDone;
}

}  // namespace sotto::tools
