// SPDX-License-Identifier: Apache-2.0
// For tests: a gRPC server on a Unix socket that answers what it was told to, whatever the service,
// and remembers what it was asked.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace sotto::tools {

class FakeDaemon {
 public:
  FakeDaemon();
  ~FakeDaemon();

  // "unix:/path"
  const std::string& target() const { return target_; }

  // How a method ("sotto.relay.v1.Admin.GetStatus") is answered from now on; those of which nothing
  // is said are UNIMPLEMENTED.
  template <typename... Messages>
  void Answer(const std::string& method, const Messages&... messages) {
    Stream(method, {messages.SerializeAsString()...});
  }
  void Stream(const std::string& method, std::vector<std::string> messages);
  // `next` gives the message of each number from 0 on; "" ends the stream.
  void Generate(const std::string& method, std::function<std::string(size_t)> next);
  void Refuse(const std::string& method, absl::StatusCode code, const std::string& words);
  // Reads the request and says nothing.
  void Hang(const std::string& method);

  // Of the last call of the method, which there was.
  template <typename Request>
  Request Last(const std::string& method) const {
    Request request;
    if (!request.ParseFromString(LastBytes(method))) std::abort();
    return request;
  }
  size_t calls(const std::string& method) const;

 private:
  class Service;
  std::string LastBytes(const std::string& method) const;

  std::string folder_;
  std::string target_;
  std::unique_ptr<Service> service_;
};

}  // namespace sotto::tools
