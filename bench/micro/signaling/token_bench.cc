// SPDX-License-Identifier: Apache-2.0
// What a token costs to verify, whatever it is: the rows are to be alike. OpenSSL's verification,
// which is no stricter than RFC 8032 asks, stands beside for comparison.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "signaling/decision/decision_fixture.h"

namespace sotto::signaling {
namespace {

constexpr size_t kTokens = 4096;  // more than a branch predictor remembers

const TestPerson& Bob() {
  static const TestPerson kBob("bob@example.org");
  return kBob;
}

template <typename Change>
void Verify(benchmark::State& state, bool expected, const EpochPublicKey& key, Change change) {
  std::vector<Token> tokens;
  for (size_t i = 0; i < kTokens; ++i) {
    tokens.push_back(Bob().Issue(i));
    change(tokens.back());
  }
  size_t next = 0;
  for (auto _ : state) {
    if (VerifyToken(tokens[next++ % kTokens], Bob().account(), key) != expected) std::abort();
  }
  state.SetItemsProcessed(state.iterations());
}

void BM_VerifyValid(benchmark::State& state) {
  Verify(state, true, Bob().Key().public_key, [](Token&) {});
}
BENCHMARK(BM_VerifyValid);

void BM_VerifyForged(benchmark::State& state) {
  Verify(state, false, Bob().Key().public_key, [](Token& token) { token.serial[15] ^= 1; });
}
BENCHMARK(BM_VerifyForged);

void BM_VerifyScalarTooLarge(benchmark::State& state) {
  Verify(state, false, Bob().Key().public_key, [](Token& token) { token.signature[63] = 0xff; });
}
BENCHMARK(BM_VerifyScalarTooLarge);

void BM_VerifySmallOrderPoint(benchmark::State& state) {
  Verify(state, false, Bob().Key().public_key,
         [](Token& token) { std::fill_n(token.signature.begin(), 32, uint8_t{0}); });
}
BENCHMARK(BM_VerifySmallOrderPoint);

void BM_VerifySmallOrderKey(benchmark::State& state) {
  Verify(state, false, EpochPublicKey{1}, [](Token&) {});
}
BENCHMARK(BM_VerifySmallOrderKey);

void BM_VerifyDummy(benchmark::State& state) {
  const DummyToken& dummy = TheDummyToken();
  for (auto _ : state) {
    benchmark::DoNotOptimize(VerifyToken(dummy.token, Bob().account(), dummy.key));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_VerifyDummy);

void BM_OpenSslVerify(benchmark::State& state) {
  const std::vector<uint8_t> message(59, 'm');
  EnsureSodium();
  std::array<uint8_t, 32> public_key;
  std::array<uint8_t, 64> secret_key, signature;
  crypto_sign_keypair(public_key.data(), secret_key.data());
  crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(),
                       secret_key.data());
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, public_key.data(), public_key.size()),
      &EVP_PKEY_free);
  for (auto _ : state) {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                          &EVP_MD_CTX_free);
    if (EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
        EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                         message.size()) != 1) {
      std::abort();
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_OpenSslVerify);

void BM_Nullifier(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(MakeNullifier(Bob().account(), kTestEpoch, Id(1)));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Nullifier);

void BM_SealNotice(benchmark::State& state) {
  const Notice notice = {.kind = NoticeKind::kSilenced,
                         .caller = Verified("eve@example.org"),
                         .minute = UnixMinute::Of(kTestNow),
                         .count = SaturatingCount()};
  const Device device = TestPerson::MakeDevice(1);
  for (auto _ : state) benchmark::DoNotOptimize(SealNotice(notice, device.notice_key));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_SealNotice);

}  // namespace
}  // namespace sotto::signaling
