// SPDX-License-Identifier: Apache-2.0
// Tokens from anybody: no read outside of them, and one that verifies was signed with the key.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "relay/base/big_endian.h"
#include "signaling/token/sodium.h"
#include "signaling/token/token.h"

using namespace sotto::signaling;  // NOLINT(google-build-using-namespace): a one-function program

namespace {

void Require(bool ok) {
  if (!ok) std::abort();
}

struct Fixture {
  Fixture() {
    EnsureSodium();
    std::array<uint8_t, 32> seed;
    for (size_t i = 0; i < seed.size(); ++i) seed[i] = static_cast<uint8_t>(i);
    crypto_sign_seed_keypair(public_key.data(), secret_key.data(), seed.data());
  }
  AccountId recipient = *AccountId::Parse("bob@example.org");
  EpochPublicKey public_key;
  std::array<uint8_t, 64> secret_key;
};

}  // namespace

// token | time(8), both optional; the corpus begins with the example of docs/protocol.md.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Fixture kFixture;
  const std::span<const uint8_t> bytes(data, std::min(size, kTokenSize));
  const std::optional<Token> token = Token::Parse(bytes);
  Require(token.has_value() == (size >= kTokenSize && data[0] == kTokenVersion));
  if (!token) return 0;

  if (VerifyToken(*token, kFixture.recipient, kFixture.public_key)) {
    const TokenBytes issued =
        IssueToken(kFixture.secret_key, kFixture.recipient, token->epoch, token->serial);
    Require(std::memcmp(issued.data(), data, kTokenSize) == 0);
  }
  // A key that anybody may choose.
  EpochPublicKey key;
  std::copy_n(data + 21, key.size(), key.begin());
  VerifyToken(*token, kFixture.recipient, key);
  IsEpochPublicKey(key);
  Require(MakeNullifier(kFixture.recipient, token->epoch, token->serial) !=
          MakeNullifier(kFixture.recipient, token->epoch + 1, token->serial));

  if (size >= kTokenSize + 8) {
    const int64_t unix_s = static_cast<int64_t>(sotto::LoadBe64(data + kTokenSize));
    const bool live = IsEpochLive(token->epoch, unix_s);
    Require(!live || IsEpochKeyable(token->epoch, unix_s));
    Require(!live || token->epoch >= OldestLiveEpoch(unix_s));
    Require(IsEpochLive(EpochAt(unix_s), unix_s));
  }
  return 0;
}
