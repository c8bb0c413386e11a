// SPDX-License-Identifier: Apache-2.0
#include "tests/signaling/probe_connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "fmt/format.h"

namespace sotto::signaling {
namespace {

std::string RandomBytes(size_t size) {
  std::string bytes(size, '\0');
  if (RAND_bytes(reinterpret_cast<uint8_t*>(bytes.data()), static_cast<int>(size)) != 1) {
    Die("no random bytes");
  }
  return bytes;
}

}  // namespace

void Die(const std::string& why) {
  fmt::print(stderr, "probe: {}\n", why);
  std::_Exit(1);
}

int64_t NowNs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

std::unique_ptr<SSL_CTX, TlsContextDeleter> MakeClientTls() {
  std::unique_ptr<SSL_CTX, TlsContextDeleter> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  return context;
}

ProbeConnection::ProbeConnection(SSL_CTX* tls, uint16_t port, const std::string& identity) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) Die("can't connect");
  const int one = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ssl_ = SSL_new(tls);
  SSL_set_fd(ssl_, fd_);
  if (SSL_connect(ssl_) != 1) Die("no TLS");

  const std::string request = fmt::format(
      "GET /v1 HTTP/1.1\r\nHost: localhost:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: c290dG8gcHJvYmUgMTIzNA==\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Protocol: sotto.v1\r\n\r\n",
      port);
  if (SSL_write(ssl_, request.data(), static_cast<int>(request.size())) <= 0) Die("no HTTP");
  size_t end = 0;
  while ((end = in_.find("\r\n\r\n")) == std::string::npos) {
    char buffer[2048];
    const int count = SSL_read(ssl_, buffer, sizeof buffer);
    if (count <= 0) Die("no answer to the upgrade");
    in_.append(buffer, static_cast<size_t>(count));
  }
  if (!in_.starts_with("HTTP/1.1 101")) Die("no WebSocket: " + in_.substr(0, in_.find('\r')));
  in_.erase(0, end + 4);
  fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);

  api::ClientFrame hello;
  hello.mutable_hello()->set_identity(identity);
  hello.mutable_hello()->set_device(RandomBytes(16));
  std::string notice_key = RandomBytes(32);
  notice_key[31] = static_cast<char>(notice_key[31] & 0x7f);
  hello.mutable_hello()->set_notice_key(notice_key);
  Send(hello);
  bool welcome = false;
  while (!welcome) {
    WaitAndRead([&](const api::ServerFrame& frame, int64_t) { welcome |= frame.has_welcome(); });
  }
}

ProbeConnection::~ProbeConnection() {
  SSL_free(ssl_);
  close(fd_);
}

uint64_t ProbeConnection::Queue(api::ClientFrame frame) {
  const bool numbered = !frame.has_hello() && !frame.has_ping();
  if (numbered) frame.set_seq(++seq_);
  frame.set_ack(seen_);
  said_ = seen_;
  const std::string payload = frame.SerializeAsString();
  // Final, binary, masked with zeros (RFC 6455, section 5.2).
  out_ += '\x82';
  if (payload.size() < 126) {
    out_ += static_cast<char>(0x80 | payload.size());
  } else {
    out_ += '\xfe';
    out_ += static_cast<char>(payload.size() >> 8);
    out_ += static_cast<char>(payload.size());
  }
  out_.append(4, '\0');
  out_ += payload;
  return frame.seq();
}

void ProbeConnection::Flush() {
  while (!out_.empty()) {
    const int count = SSL_write(ssl_, out_.data(), static_cast<int>(out_.size()));
    if (count <= 0) {
      if (SSL_get_error(ssl_, count) != SSL_ERROR_WANT_WRITE) Die("the server has closed");
      pollfd writable = {fd_, POLLOUT, 0};
      poll(&writable, 1, 1000);
      continue;
    }
    out_.erase(0, static_cast<size_t>(count));
  }
}

api::ServerFrame ProbeConnection::Request(api::ClientFrame frame) {
  const uint64_t request = Send(std::move(frame));
  api::ServerFrame answer;
  while (answer.request() != request) {
    WaitAndRead([&](const api::ServerFrame& got, int64_t) {
      if (got.request() == request) answer = got;
    });
  }
  return answer;
}

bool ProbeConnection::TakeFrame(api::ServerFrame* frame) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(in_[i]); };
  if (in_.size() < 2) return false;
  size_t size = at(1) & 0x7f;
  size_t head = 2;
  if (size == 126) {
    if (in_.size() < 4) return false;
    size = size_t{at(2)} << 8 | at(3);
    head = 4;
  }
  if (in_.size() < head + size) return false;
  if (at(0) == 0x88) Die("closed: " + in_.substr(head + 2, size - 2));
  if (at(0) != 0x82 || !frame->ParseFromArray(in_.data() + head, static_cast<int>(size))) {
    Die("not a frame of this protocol");
  }
  in_.erase(0, head + size);
  return true;
}

void ProbeConnection::Read(const OnFrame& on_frame) {
  while (true) {
    char buffer[32768];
    const int count = SSL_read(ssl_, buffer, sizeof buffer);
    if (count <= 0) {
      if (SSL_get_error(ssl_, count) != SSL_ERROR_WANT_READ) Die("the server has closed");
      break;
    }
    const int64_t now = NowNs();
    in_.append(buffer, static_cast<size_t>(count));
    api::ServerFrame frame;
    while (TakeFrame(&frame)) {
      if (frame.seq() != 0) seen_ = frame.seq();
      on_frame(frame, now);
    }
  }
  if (seen_ - said_ >= 32) Ping();
}

void ProbeConnection::WaitAndRead(const OnFrame& on_frame) {
  pollfd readable = {fd_, POLLIN, 0};
  if (poll(&readable, 1, 20'000) <= 0) Die("the server says nothing");
  Read(on_frame);
}

void ProbeConnection::Ping() {
  api::ClientFrame frame;
  frame.mutable_ping();
  Send(std::move(frame));
}

}  // namespace sotto::signaling
