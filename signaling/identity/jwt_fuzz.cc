// SPDX-License-Identifier: Apache-2.0
// Whatever a client sends as its identity: no crash, and no account unless a signature verifies.
// The corpus is made of tokens whose keys nobody has any more, so nothing may ever pass.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "signaling/identity/development_issuer.h"
#include "signaling/identity/identity_verifier.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sotto::signaling;  // NOLINT(google-build-using-namespace)
  static const IdentityVerifier* const verifier = [] {
    const IdentityOptions options{.issuer = "op", .audiences = {"sotto"}};
    const auto issuer =
        DevelopmentIssuer::Create(DevelopmentIssuer::MakePrivateKey().value(), "fuzz", options);
    return new IdentityVerifier(options, issuer->public_keys());
  }();
  const std::string_view jwt(reinterpret_cast<const char*>(data), size);
  if (verifier->Verify(jwt, 1'767'225'600).ok()) std::abort();
  // As a key file it is refused, or gives keys that are fit to verify with.
  const auto keys = IdentityKeys::Parse(jwt, "fuzz");
  if (keys.ok() && (keys->size() == 0 || keys->size() > kMaxIdentityKeys)) std::abort();
  return 0;
}
