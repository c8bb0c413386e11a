// SPDX-License-Identifier: Apache-2.0
// A device's session with sotto-signald for probes that measure: TLS, WebSocket (RFC 6455) and the
// numbering of frames on a plain non-blocking socket, with nothing in between that takes time of
// its own. Fails loudly: what a probe can't go on without aborts it.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "signaling/api/api.h"

namespace sotto::signaling {

// CLOCK_MONOTONIC.
int64_t NowNs();

class ProbeConnection {
 public:
  // `received_ns` is when the bytes came out of TLS.
  using OnFrame = std::function<void(const api::ServerFrame& frame, int64_t received_ns)>;

  // Connects to 127.0.0.1:`port` (TLS, any certificate), says Hello and waits for Welcome.
  ProbeConnection(SSL_CTX* tls, uint16_t port, const std::string& identity);
  ~ProbeConnection();
  ProbeConnection(const ProbeConnection&) = delete;
  ProbeConnection& operator=(const ProbeConnection&) = delete;

  int fd() const { return fd_; }

  // Numbers and queues a frame; returns its seq (0 for a Ping). Flush() sends all that is queued at
  // once.
  uint64_t Queue(api::ClientFrame frame);
  void Flush();
  uint64_t Send(api::ClientFrame frame) {
    const uint64_t seq = Queue(std::move(frame));
    Flush();
    return seq;
  }
  // Sends, and reads until the answer is here.
  api::ServerFrame Request(api::ClientFrame frame);

  // Reads what has come. Acknowledges in time.
  void Read(const OnFrame& on_frame);
  // Waits for something to read, and reads.
  void WaitAndRead(const OnFrame& on_frame);
  void Ping();

 private:
  bool TakeFrame(api::ServerFrame* frame);

  int fd_ = -1;
  SSL* ssl_ = nullptr;
  std::string out_;
  std::string in_;
  uint64_t seq_ = 0;
  uint64_t seen_ = 0;
  uint64_t said_ = 0;
};

struct TlsContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
std::unique_ptr<SSL_CTX, TlsContextDeleter> MakeClientTls();

[[noreturn]] void Die(const std::string& why);

}  // namespace sotto::signaling
