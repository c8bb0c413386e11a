// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/call_body.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <array>

#include "relay/base/big_endian.h"
#include "tools/signaling_client/token.h"

namespace sotto::tools {
namespace {

using namespace std::string_view_literals;

constexpr std::array<size_t, 6> kBodySizes = {512, 1024, 2048, 4096, 8192, 16384};
constexpr std::string_view kOfferContext = "sotto offer v1\0"sv;
constexpr std::string_view kAnswerContext = "sotto answer v1\0"sv;
constexpr std::string_view kCandidatesContext = "sotto candidates v1\0"sv;

// Bounds that a hostile peer must not choose; far above what any client says.
constexpr int kMaxStreams = 16;
constexpr int kMaxCodecs = 64;
constexpr int kMaxFeedback = 16;
constexpr int kMaxExtensions = 14;  // as many as there are ids
constexpr int kMaxTokens = 128;
constexpr int kMaxCandidates = 64;
constexpr size_t kMaxCandidateSize = 512;
constexpr size_t kMaxLinkSize = 32 * 1024;

absl::Status Wrong(std::string text) { return absl::InvalidArgumentError(std::move(text)); }

template <typename Message>
std::string Serialize(const Message& message) {
  std::string bytes;
  message.SerializeToString(&bytes);
  return bytes;
}

absl::StatusOr<SealedBody> Seal(std::string_view context, const std::string& content,
                                const SignKeyPair& signer, const Key& box) {
  std::string signed_part(context);
  signed_part += content;
  std::string signature(crypto_sign_BYTES, '\0');
  crypto_sign_detached(reinterpret_cast<uint8_t*>(signature.data()), nullptr,
                       AsBytes(signed_part).data(), signed_part.size(), signer.secret_key.data());
  e2e::Signed message;
  message.set_content(content);
  message.set_signature(signature);
  const std::string plain = Serialize(message);

  const size_t least = plain.size() + 4 + crypto_box_SEALBYTES;
  const auto size =
      std::find_if(kBodySizes.begin(), kBodySizes.end(), [&](size_t s) { return s >= least; });
  if (size == kBodySizes.end()) {
    return absl::ResourceExhaustedError(fmt::format(
        "a body of {} bytes is too large; must be at most {}", least, kBodySizes.back()));
  }
  std::string padded(*size - crypto_box_SEALBYTES, '\0');
  StoreBe32(reinterpret_cast<uint8_t*>(padded.data()), static_cast<uint32_t>(plain.size()));
  std::copy(plain.begin(), plain.end(), padded.begin() + 4);

  SealedBody sealed;
  sealed.bytes.resize(*size);
  if (crypto_box_seal(reinterpret_cast<uint8_t*>(sealed.bytes.data()), AsBytes(padded).data(),
                      padded.size(), box.data()) != 0) {
    return Wrong("the other side's X25519 key is not valid");
  }
  sealed.hash = Blake2b(AsBytes(sealed.bytes));
  return sealed;
}

absl::StatusOr<e2e::Signed> Unseal(std::string_view sealed, const BoxKeyPair& box) {
  if (!IsBodySize(sealed.size())) {
    return Wrong(
        fmt::format("a body of {} bytes does not have one of the allowed sizes", sealed.size()));
  }
  std::string padded(sealed.size() - crypto_box_SEALBYTES, '\0');
  auto* bytes = reinterpret_cast<uint8_t*>(padded.data());
  if (crypto_box_seal_open(bytes, AsBytes(sealed).data(), sealed.size(), box.public_key.data(),
                           box.secret_key.data()) != 0) {
    return Wrong("the body was not sealed to this key, or was altered");
  }
  const size_t size = LoadBe32(bytes);
  if (size > padded.size() - 4) return Wrong("the body's length passes its end");
  const auto end = padded.begin() + 4 + static_cast<ptrdiff_t>(size);
  if (std::any_of(end, padded.end(), [](char c) { return c != 0; })) {
    return Wrong("the body's padding is not zero");
  }
  e2e::Signed message;
  if (!message.ParseFromArray(bytes + 4, static_cast<int>(size))) {
    return Wrong("the body's plaintext is not a Signed message");
  }
  return message;
}

absl::Status Verify(const e2e::Signed& message, std::string_view context, const Key& signer) {
  std::string signed_part(context);
  signed_part += message.content();
  if (message.signature().size() != crypto_sign_BYTES ||
      crypto_sign_verify_detached(AsBytes(message.signature()).data(), AsBytes(signed_part).data(),
                                  signed_part.size(), signer.data()) != 0) {
    return Wrong("the body was not signed with the expected key");
  }
  return absl::OkStatus();
}

absl::Status CheckParties(std::string_view has_caller, std::string_view has_recipient,
                          std::string_view caller, std::string_view recipient) {
  if (has_caller != caller || has_recipient != recipient) {
    return Wrong("the body names other parties than the server");
  }
  return absl::OkStatus();
}

bool AllOf(std::string_view text, size_t least, size_t most, std::string_view others,
           bool upper_and_digits = true) {
  return text.size() >= least && text.size() <= most &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return (c >= 'a' && c <= 'z') ||
                  (upper_and_digits && ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) ||
                  others.find(c) != std::string_view::npos;
         });
}

absl::Status CheckCodec(const e2e::Codec& codec) {
  if (codec.payload_type() > 127) return Wrong("a codec's payload type is above 127");
  if (!AllOf(codec.name(), 1, 16, "-")) return Wrong("a codec's name is not valid");
  if (!AllOf(codec.parameters(), 0, 256, "=;.+/-"))
    return Wrong("a codec's parameters are not valid");
  if (codec.feedback_size() > kMaxFeedback) return Wrong("a codec has too many kinds of feedback");
  for (const std::string& feedback : codec.feedback()) {
    if (!AllOf(feedback, 1, 32, " -", false)) return Wrong("a codec's feedback is not valid");
  }
  return absl::OkStatus();
}

}  // namespace

bool IsBodySize(size_t size) {
  return std::find(kBodySizes.begin(), kBodySizes.end(), size) != kBodySizes.end();
}

absl::StatusOr<SealedBody> SealOffer(const e2e::Offer& offer, const SignKeyPair& caller,
                                     const Key& recipient_box) {
  return Seal(kOfferContext, Serialize(offer), caller, recipient_box);
}

absl::StatusOr<SealedBody> SealAnswer(const e2e::Answer& answer, const SignKeyPair& recipient,
                                      const Key& offer_box) {
  return Seal(kAnswerContext, Serialize(answer), recipient, offer_box);
}

absl::StatusOr<SealedBody> SealCandidates(const e2e::Candidates& candidates,
                                          const SignKeyPair& sender, const Key& peer_box) {
  return Seal(kCandidatesContext, Serialize(candidates), sender, peer_box);
}

absl::StatusOr<e2e::Offer> OpenOffer(std::string_view sealed, const BoxKeyPair& recipient_box,
                                     std::string_view caller, std::string_view recipient,
                                     const std::optional<AccountPublicKeys>& contact) {
  const auto message = Unseal(sealed, recipient_box);
  if (!message.ok()) return message.status();
  e2e::Offer offer;
  if (!offer.ParseFromString(message->content())) return Wrong("the body is not an Offer");
  const auto signer = ReadKey(offer.caller_sign(), "the offer's caller_sign");
  if (!signer.ok()) return signer.status();
  if (auto status = Verify(*message, kOfferContext, *signer); !status.ok()) return status;
  const auto caller_box = ReadKey(offer.caller_box(), "the offer's caller_box");
  if (!caller_box.ok()) return caller_box.status();
  if (contact && (contact->sign != *signer || contact->box != *caller_box)) {
    return Wrong("the offer uses other keys than the contact's");
  }
  if (auto box = ReadKey(offer.box(), "the offer's box"); !box.ok()) return box.status();
  if (auto status = CheckParties(offer.caller(), offer.recipient(), caller, recipient);
      !status.ok()) {
    return status;
  }
  if (auto status = CheckMedia(offer.media()); !status.ok()) return status;
  if (offer.has_invitation()) {
    if (auto status = CheckInvitation(offer.invitation()); !status.ok()) return status;
  }
  return offer;
}

absl::StatusOr<e2e::Answer> OpenAnswer(std::string_view sealed, const BoxKeyPair& offer_box,
                                       const Key& recipient_sign, std::string_view caller,
                                       std::string_view recipient, const Hash& offer_hash) {
  const auto message = Unseal(sealed, offer_box);
  if (!message.ok()) return message.status();
  if (auto status = Verify(*message, kAnswerContext, recipient_sign); !status.ok()) return status;
  e2e::Answer answer;
  if (!answer.ParseFromString(message->content())) return Wrong("the body is not an Answer");
  if (answer.offer_hash() != AsString(offer_hash)) return Wrong("the answer is to another offer");
  if (auto status = CheckParties(answer.caller(), answer.recipient(), caller, recipient);
      !status.ok()) {
    return status;
  }
  if (auto box = ReadKey(answer.box(), "the answer's box"); !box.ok()) return box.status();
  if (auto status = CheckMedia(answer.media()); !status.ok()) return status;
  if (answer.has_invitation()) {
    if (auto status = CheckInvitation(answer.invitation()); !status.ok()) return status;
  }
  return answer;
}

absl::StatusOr<e2e::Candidates> OpenCandidates(std::string_view sealed, const BoxKeyPair& own_box,
                                               const Key& peer_sign, const Hash& offer_hash) {
  const auto message = Unseal(sealed, own_box);
  if (!message.ok()) return message.status();
  if (auto status = Verify(*message, kCandidatesContext, peer_sign); !status.ok()) return status;
  e2e::Candidates candidates;
  if (!candidates.ParseFromString(message->content()))
    return Wrong("the body is not a Candidates message");
  if (candidates.offer_hash() != AsString(offer_hash)) {
    return Wrong("the candidates belong to another call");
  }
  if (candidates.candidates_size() > kMaxCandidates) return Wrong("there are too many candidates");
  for (const std::string& candidate : candidates.candidates()) {
    if (candidate.size() > kMaxCandidateSize ||
        std::any_of(candidate.begin(), candidate.end(),
                    [](char c) { return c < ' ' || c > '~'; })) {
      return Wrong("a candidate is not a line of ASCII");
    }
  }
  return candidates;
}

absl::Status CheckMedia(const e2e::Media& media) {
  // WebRTC clients have ICE and DTLS, clients without DTLS neither; a field that is there must be
  // well-formed in either.
  if (!media.ice_ufrag().empty() && !AllOf(media.ice_ufrag(), 4, 256, "+/")) {
    return Wrong("the ICE user fragment is not valid");
  }
  if (!media.ice_pwd().empty() && !AllOf(media.ice_pwd(), 22, 256, "+/")) {
    return Wrong("the ICE password is not valid");
  }
  if (!media.dtls_sha256().empty() && media.dtls_sha256().size() != 32) {
    return Wrong("the DTLS fingerprint does not have 32 bytes");
  }
  if (!media.secret_share().empty() && media.secret_share().size() != 32) {
    return Wrong("the secret share does not have 32 bytes");
  }
  if (media.streams_size() > kMaxStreams) return Wrong("there are too many streams");
  for (const e2e::Stream& stream : media.streams()) {
    if (!e2e::Stream::Kind_IsValid(stream.kind()) ||
        stream.kind() == e2e::Stream::KIND_UNSPECIFIED) {
      return Wrong("a stream is of an unknown kind");
    }
    if (stream.codecs_size() > kMaxCodecs) return Wrong("a stream has too many codecs");
    for (const e2e::Codec& codec : stream.codecs()) {
      if (auto status = CheckCodec(codec); !status.ok()) return status;
    }
    if (stream.extensions_size() > kMaxExtensions) {
      return Wrong("a stream has too many header extensions");
    }
    for (const e2e::HeaderExtension& extension : stream.extensions()) {
      if (!e2e::HeaderExtension::Kind_IsValid(extension.kind()) ||
          extension.kind() == e2e::HeaderExtension::KIND_UNSPECIFIED || extension.id() < 1 ||
          extension.id() > 14) {
        return Wrong("a stream's header extension is not valid");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckInvitation(const e2e::Invitation& invitation) {
  if (!IsAccountName(invitation.account())) return Wrong("the invitation names no account");
  for (const auto& [key, what] : {std::pair{&invitation.box(), "the invitation's box key"},
                                  std::pair{&invitation.sign(), "the invitation's sign key"}}) {
    if (auto read = ReadKey(*key, what); !read.ok()) return read.status();
  }
  if (invitation.tokens_size() > kMaxTokens) {
    return Wrong(fmt::format("the invitation has more than {} tokens", kMaxTokens));
  }
  for (const std::string& token : invitation.tokens()) {
    if (!ReadToken(token)) return Wrong("a token of the invitation is not valid");
  }
  return absl::OkStatus();
}

std::string InvitationLink(std::string_view origin, const e2e::Invitation& invitation) {
  return fmt::format("{}/#i={}", origin, ToBase64Url(AsBytes(Serialize(invitation))));
}

absl::StatusOr<e2e::Invitation> ReadInvitation(std::string_view link) {
  if (link.size() > kMaxLinkSize) {
    return Wrong(fmt::format("the link is longer than {} characters", kMaxLinkSize));
  }
  if (const size_t at = link.find("#i="); at != std::string_view::npos) link.remove_prefix(at + 3);
  const auto bytes = FromBase64Url(link);
  e2e::Invitation invitation;
  if (!bytes.ok() || bytes->empty() || !invitation.ParseFromString(*bytes)) {
    return Wrong(
        "the link contains no invitation; use the complete link that issue-tokens printed");
  }
  if (auto status = CheckInvitation(invitation); !status.ok()) return status;
  return invitation;
}

}  // namespace sotto::tools
