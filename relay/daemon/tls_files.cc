// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/tls_files.h"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "relay/daemon/config_file.h"

namespace sotto {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Bio Open(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free};
}

Certificate FirstCertificate(const std::string& pem) {
  const Bio bio = Open(pem);
  return {PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free};
}

}  // namespace

absl::StatusOr<TlsPem> ReadTlsFiles(const TlsFiles& files) {
  TlsPem pem;
  const struct {
    const std::string& path;
    std::string& out;
  } wanted[] = {{files.ca, pem.ca}, {files.cert, pem.cert}, {files.key, pem.key}};
  for (const auto& [path, out] : wanted) {
    absl::StatusOr<ConfigText> file =
        ReadConfigFile(path, "name another file, or let this user read it");
    if (!file.ok()) return file.status();
    out = std::move(file->text);
    if (&out == &pem.key) pem.key_readable_by_others = file->readable_by_others;
  }
  if (!FirstCertificate(pem.ca)) {
    return absl::InvalidArgumentError(fmt::format(
        "{} contains no certificate; it must contain the trusted authorities in PEM", files.ca));
  }
  const Certificate certificate = FirstCertificate(pem.cert);
  if (!certificate) {
    return absl::InvalidArgumentError(
        fmt::format("{} contains no certificate; it must be in PEM", files.cert));
  }
  const Bio bio = Open(pem.key);
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr), EVP_PKEY_free);
  if (!key) {
    return absl::InvalidArgumentError(fmt::format(
        "{} contains no private key; it must be in PEM, without a password", files.key));
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(
        fmt::format("{} is not the key of the certificate in {}; name a certificate and the key "
                    "that belongs to it",
                    files.key, files.cert));
  }
  return pem;
}

}  // namespace sotto
