// SPDX-License-Identifier: Apache-2.0
// Certificates for tests, made by OpenSSL.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <memory>
#include <string>

namespace sotto {

struct TestCertificate {
  std::string cert;  // PEM
  std::string key;   // PEM
};

// Self-signed; valid between two moments of Unix time. `name` null: it names nobody. `other_name`:
// a subjectAltName, such as "IP:127.0.0.1", unless it is null.
inline TestCertificate MakeTestCertificate(const char* name, int64_t begin, int64_t end,
                                           const char* other_name = nullptr) {
  using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
  const auto text = [](const Bio& bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return std::string(data, static_cast<size_t>(size));
  };
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), begin);
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), end);
  if (name != nullptr) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  }
  if (other_name != nullptr) {
    const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, other_name),
        X509_EXTENSION_free);
    X509_add_ext(certificate.get(), extension.get(), -1);
  }
  X509_set_pubkey(certificate.get(), key.get());
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  const Bio cert_pem(BIO_new(BIO_s_mem()), BIO_free);
  const Bio key_pem(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_X509(cert_pem.get(), certificate.get());
  PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return {text(cert_pem), text(key_pem)};
}

}  // namespace sotto
