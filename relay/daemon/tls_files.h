// SPDX-License-Identifier: Apache-2.0
// The files of mutual TLS, read and checked: gRPC itself would take anything and then fail every
// connection without a word.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace sotto {

struct TlsFiles {
  std::string ca;    // paths of PEM files: whom to trust,
  std::string cert;  // whom to be (the chain, leaf first),
  std::string key;   // and its private key
  bool operator==(const TlsFiles&) const = default;
};

struct TlsPem {
  std::string ca;
  std::string cert;
  std::string key;
  bool key_readable_by_others = false;
  bool operator==(const TlsPem&) const = default;
};

// Errors name the file: one that can't be read or isn't PEM, a key that isn't the certificate's.
absl::StatusOr<TlsPem> ReadTlsFiles(const TlsFiles& files);

}  // namespace sotto
