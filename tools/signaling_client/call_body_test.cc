// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/call_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sodium.h>

#include <functional>

#include "tools/signaling_client/token.h"

namespace sotto::tools {
namespace {

using ::testing::HasSubstr;

class CallBodyTest : public ::testing::Test {
 protected:
  e2e::Offer MakeOffer() const {
    e2e::Offer offer;
    offer.set_caller("alice");
    offer.set_recipient("bob");
    offer.set_box(AsString(call_.public_key));
    offer.set_caller_box(AsString(alice_.Box().public_key));
    offer.set_caller_sign(AsString(alice_.Sign().public_key));
    offer.mutable_media()->set_secret_share(RandomBytes(32));
    return offer;
  }
  e2e::Answer MakeAnswer(const Hash& offer_hash) const {
    e2e::Answer answer;
    answer.set_caller("alice");
    answer.set_recipient("bob");
    answer.set_offer_hash(AsString(offer_hash));
    answer.set_box(AsString(answer_.public_key));
    answer.mutable_media()->set_secret_share(RandomBytes(32));
    return answer;
  }
  SealedBody Seal(const e2e::Offer& offer) const {
    return SealOffer(offer, alice_.Sign(), bob_.Box().public_key).value();
  }
  absl::StatusOr<e2e::Offer> Open(std::string_view sealed) const {
    return OpenOffer(sealed, bob_.Box(), "alice", "bob", alice_.PublicKeys());
  }

  const AccountSecret alice_ = AccountSecret::Generate();
  const AccountSecret bob_ = AccountSecret::Generate();
  const AccountSecret mallory_ = AccountSecret::Generate();
  const BoxKeyPair call_ = MakeBoxKeyPair();
  const BoxKeyPair answer_ = MakeBoxKeyPair();
};

// Seals any plaintext, as a hostile client may.
std::string SealRaw(const std::string& padded, const Key& box) {
  std::string sealed(padded.size() + crypto_box_SEALBYTES, '\0');
  crypto_box_seal(reinterpret_cast<uint8_t*>(sealed.data()), AsBytes(padded).data(), padded.size(),
                  box.data());
  return sealed;
}
std::string OpenRaw(const std::string& sealed, const BoxKeyPair& box) {
  std::string plain(sealed.size() - crypto_box_SEALBYTES, '\0');
  EXPECT_EQ(crypto_box_seal_open(reinterpret_cast<uint8_t*>(plain.data()), AsBytes(sealed).data(),
                                 sealed.size(), box.public_key.data(), box.secret_key.data()),
            0);
  return plain;
}

TEST_F(CallBodyTest, OfferComesBack) {
  const e2e::Offer offer = MakeOffer();
  const SealedBody sealed = Seal(offer);
  EXPECT_EQ(sealed.bytes.size(), 512u);
  EXPECT_EQ(sealed.hash, Blake2b(AsBytes(sealed.bytes)));
  const auto opened = Open(sealed.bytes);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->SerializeAsString(), offer.SerializeAsString());
}

TEST_F(CallBodyTest, HasTheSmallestSizeThatFits) {
  e2e::Offer offer = MakeOffer();
  size_t last = 0;
  std::vector<size_t> sizes;
  for (int tokens = 0; tokens <= 128; tokens += 4) {
    auto& invitation = *offer.mutable_invitation();
    invitation.set_account("alice");
    invitation.set_box(offer.caller_box());
    invitation.set_sign(offer.caller_sign());
    while (invitation.tokens_size() < tokens) {
      invitation.add_tokens(IssueToken(alice_.EpochKey(1, 0), "alice", 1, RandomSerial()));
    }
    const auto sealed = Seal(offer);
    EXPECT_TRUE(IsBodySize(sealed.bytes.size()));
    EXPECT_GE(sealed.bytes.size(), last);
    if (sealed.bytes.size() != last) sizes.push_back(sealed.bytes.size());
    last = sealed.bytes.size();
    const auto opened = Open(sealed.bytes);
    ASSERT_TRUE(opened.ok()) << opened.status();
  }
  EXPECT_THAT(sizes, ::testing::ElementsAre(512, 1024, 2048, 4096, 8192, 16384));
}

TEST_F(CallBodyTest, TooLargeIsAnError) {
  e2e::Offer offer = MakeOffer();
  offer.mutable_invitation()->add_tokens(std::string(16384, 'x'));
  EXPECT_EQ(SealOffer(offer, alice_.Sign(), bob_.Box().public_key).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(CallBodyTest, AnyChangedBitIsNoticed) {
  const SealedBody sealed = Seal(MakeOffer());
  for (size_t bit = 0; bit < sealed.bytes.size() * 8; bit += 7) {
    std::string changed = sealed.bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(Open(changed).ok()) << "bit " << bit;
  }
  EXPECT_FALSE(Open(std::string_view(sealed.bytes).substr(0, 511)).ok());
  EXPECT_FALSE(Open("").ok());
}

TEST_F(CallBodyTest, OfferMustBeFromWhomTheServerNames) {
  const SealedBody sealed = Seal(MakeOffer());
  const auto open = [&](std::string_view caller, std::string_view recipient) {
    return OpenOffer(sealed.bytes, bob_.Box(), caller, recipient, std::nullopt).ok();
  };
  EXPECT_TRUE(open("alice", "bob"));
  EXPECT_FALSE(open("mallory", "bob"));
  EXPECT_FALSE(open("alice", "carol"));
}

TEST_F(CallBodyTest, OfferUnderOtherKeysThanTheContactsIsRefused) {
  e2e::Offer offer = MakeOffer();
  offer.set_caller_box(AsString(mallory_.Box().public_key));
  offer.set_caller_sign(AsString(mallory_.Sign().public_key));
  const auto sealed = SealOffer(offer, mallory_.Sign(), bob_.Box().public_key).value();
  EXPECT_THAT(std::string(Open(sealed.bytes).status().message()), HasSubstr("other keys"));
  EXPECT_TRUE(OpenOffer(sealed.bytes, bob_.Box(), "alice", "bob", std::nullopt).ok());
}

TEST_F(CallBodyTest, SignatureMustBeTheSendersAndOfThisKind) {
  const auto forged = SealOffer(MakeOffer(), mallory_.Sign(), bob_.Box().public_key).value();
  EXPECT_THAT(std::string(Open(forged.bytes).status().message()), HasSubstr("signed"));

  // The same fields, signed as candidates.
  e2e::Candidates candidates;
  ASSERT_TRUE(candidates.ParseFromString(MakeOffer().SerializeAsString()));
  const auto crossed = SealCandidates(candidates, alice_.Sign(), bob_.Box().public_key).value();
  EXPECT_THAT(std::string(Open(crossed.bytes).status().message()), HasSubstr("signed"));
}

TEST_F(CallBodyTest, PaddingMustBeZeroAndLengthTrue) {
  const SealedBody sealed = Seal(MakeOffer());
  const Key& box = bob_.Box().public_key;
  const std::string plain = OpenRaw(sealed.bytes, bob_.Box());
  EXPECT_TRUE(Open(SealRaw(plain, box)).ok());
  std::string changed = plain;
  changed.back() = 1;
  EXPECT_THAT(std::string(Open(SealRaw(changed, box)).status().message()), HasSubstr("padding"));
  for (const size_t length : {plain.size() - 3, size_t{0xffffffff}}) {
    changed = plain;
    for (int i = 0; i < 4; ++i) changed[i] = static_cast<char>(length >> (24 - 8 * i));
    EXPECT_THAT(std::string(Open(SealRaw(changed, box)).status().message()), HasSubstr("length"));
  }
}

TEST_F(CallBodyTest, FieldsOutOfBoundsAreRefused) {
  const std::pair<const char*, std::function<void(e2e::Offer&)>> kWrong[] = {
      {"short ufrag", [](auto& o) { o.mutable_media()->set_ice_ufrag("abc"); }},
      {"ufrag with a line", [](auto& o) { o.mutable_media()->set_ice_ufrag("abcd\r\n"); }},
      {"short pwd", [](auto& o) { o.mutable_media()->set_ice_pwd(std::string(21, 'a')); }},
      {"long pwd", [](auto& o) { o.mutable_media()->set_ice_pwd(std::string(257, 'a')); }},
      {"fingerprint", [](auto& o) { o.mutable_media()->set_dtls_sha256(std::string(31, 'a')); }},
      {"share", [](auto& o) { o.mutable_media()->set_secret_share("abc"); }},
      {"box", [](auto& o) { o.set_box("abc"); }},
      {"caller_box", [](auto& o) { o.set_caller_box(""); }},
      {"unknown kind",
       [](auto& o) {
         o.mutable_media()->add_streams()->set_kind(static_cast<e2e::Stream::Kind>(9));
       }},
      {"no kind", [](auto& o) { o.mutable_media()->add_streams(); }},
      {"payload type",
       [](auto& o) {
         auto& s = *o.mutable_media()->add_streams();
         s.set_kind(e2e::Stream::KIND_AUDIO);
         s.add_codecs()->set_name("opus");
         s.mutable_codecs(0)->set_payload_type(128);
       }},
      {"codec name",
       [](auto& o) {
         auto& s = *o.mutable_media()->add_streams();
         s.set_kind(e2e::Stream::KIND_AUDIO);
         s.add_codecs()->set_name("op us");
       }},
      {"parameters",
       [](auto& o) {
         auto& s = *o.mutable_media()->add_streams();
         s.set_kind(e2e::Stream::KIND_AUDIO);
         s.add_codecs()->set_name("opus");
         s.mutable_codecs(0)->set_parameters("a=1\r\na=candidate");
       }},
      {"feedback",
       [](auto& o) {
         auto& s = *o.mutable_media()->add_streams();
         s.set_kind(e2e::Stream::KIND_VIDEO);
         s.add_codecs()->set_name("VP8");
         s.mutable_codecs(0)->add_feedback("NACK");
       }},
      {"extension id",
       [](auto& o) {
         auto& s = *o.mutable_media()->add_streams();
         s.set_kind(e2e::Stream::KIND_VIDEO);
         s.add_extensions()->set_kind(e2e::HeaderExtension::KIND_MID);
         s.mutable_extensions(0)->set_id(15);
       }},
      {"token in the invitation",
       [](auto& o) {
         auto& i = *o.mutable_invitation();
         i.set_account("alice");
         i.set_box(o.caller_box());
         i.set_sign(o.caller_sign());
         i.add_tokens("no token");
       }},
  };
  for (const auto& [what, change] : kWrong) {
    e2e::Offer offer = MakeOffer();
    change(offer);
    EXPECT_FALSE(Open(Seal(offer).bytes).ok()) << what;
  }
  e2e::Offer good = MakeOffer();
  auto& stream = *good.mutable_media()->add_streams();
  stream.set_kind(e2e::Stream::KIND_VIDEO);
  auto& codec = *stream.add_codecs();
  codec.set_name("H264");
  codec.set_payload_type(127);
  codec.set_parameters("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
  codec.add_feedback("nack pli");
  good.mutable_media()->set_ice_ufrag("aB3+");
  good.mutable_media()->set_ice_pwd(std::string(22, '/'));
  EXPECT_TRUE(Open(Seal(good).bytes).ok());
}

TEST_F(CallBodyTest, AnswerBelongsToItsOffer) {
  const Hash hash = Seal(MakeOffer()).hash;
  const Key bob_sign = bob_.Sign().public_key;
  const auto sealed = SealAnswer(MakeAnswer(hash), bob_.Sign(), call_.public_key).value();
  const auto open = [&](const Key& sign, std::string_view recipient, const Hash& to) {
    return OpenAnswer(sealed.bytes, call_, sign, "alice", recipient, to).ok();
  };
  EXPECT_TRUE(open(bob_sign, "bob", hash));
  EXPECT_FALSE(open(bob_sign, "bob", Seal(MakeOffer()).hash));
  EXPECT_FALSE(open(mallory_.Sign().public_key, "bob", hash));
  EXPECT_FALSE(open(bob_sign, "carol", hash));
}

TEST_F(CallBodyTest, CandidatesAreOfOneCallAndOfLines) {
  const Hash hash = Seal(MakeOffer()).hash;
  const Key alice_sign = alice_.Sign().public_key;
  e2e::Candidates candidates;
  candidates.set_offer_hash(AsString(hash));
  candidates.add_candidates("candidate:1 1 udp 1 192.0.2.1 9 typ host");
  const auto open = [&](const Hash& of) {
    const auto sealed = SealCandidates(candidates, alice_.Sign(), answer_.public_key).value();
    return OpenCandidates(sealed.bytes, answer_, alice_sign, of).ok();
  };
  EXPECT_TRUE(open(hash));
  EXPECT_FALSE(open(Hash{}));
  candidates.add_candidates("candidate:1\r\na=setup:active");
  EXPECT_FALSE(open(hash));
}

TEST_F(CallBodyTest, InvitationComesBackFromItsLink) {
  e2e::Invitation invitation;
  invitation.set_account("bob@example.org");
  invitation.set_box(AsString(bob_.Box().public_key));
  invitation.set_sign(AsString(bob_.Sign().public_key));
  invitation.add_tokens(IssueToken(bob_.EpochKey(7, 0), "bob@example.org", 7, RandomSerial()));
  const std::string link = InvitationLink("https://example.org", invitation);
  EXPECT_TRUE(link.starts_with("https://example.org/#i="));
  EXPECT_EQ(link.find('='), link.rfind('='));
  const auto read = ReadInvitation(link);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->SerializeAsString(), invitation.SerializeAsString());
  EXPECT_TRUE(ReadInvitation(link.substr(link.find("#i=") + 3)).ok());
}

TEST_F(CallBodyTest, LinkWithoutAnInvitationIsRefused) {
  e2e::Invitation nameless;
  nameless.set_box(RandomBytes(32));
  nameless.set_sign(RandomBytes(32));
  for (const std::string& link :
       {std::string(), std::string("https://example.org/"), std::string("https://x/#i="),
        std::string("#i=!!"), std::string("#i=AAAA"), InvitationLink("https://x", nameless),
        std::string(40'000, 'A')}) {
    EXPECT_FALSE(ReadInvitation(link).ok()) << link.substr(0, 60);
  }
}

}  // namespace
}  // namespace sotto::tools
