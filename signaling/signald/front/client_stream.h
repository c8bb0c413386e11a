// SPDX-License-Identifier: Apache-2.0
// A TCP connection of a client, with TLS or without: what Beast reads from and writes to.
//
// In place of asio::ssl::stream, which keeps 34 KiB of buffers and as much again in a BIO pair for
// each connection as long as it lives. Here OpenSSL reads and writes the socket itself, and an idle
// connection holds no buffer at all (SSL_MODE_RELEASE_BUFFERS). One operation of each direction at
// a time; one thread.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/role.hpp>
#include <memory>
#include <utility>

#include "signaling/signald/front/tls_context.h"

namespace sotto::signaling {

class ClientStream {
 public:
  using executor_type = boost::asio::io_context::executor_type;
  using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, executor_type>;
  using ErrorCode = boost::system::error_code;

  // `socket` must be non-blocking. Without `tls`: plain TCP.
  ClientStream(Socket socket, std::shared_ptr<TlsContext> tls)
      : socket_(std::move(socket)), tls_(std::move(tls)) {
    if (tls_ == nullptr) return;
    ssl_.reset(SSL_new(tls_->get()));
    if (ssl_ == nullptr) throw std::bad_alloc();
    SSL_set_fd(ssl_.get(), socket_.native_handle());
    SSL_set_accept_state(ssl_.get());
  }
  ClientStream(ClientStream&&) = default;
  ClientStream& operator=(ClientStream&&) = delete;

  executor_type get_executor() { return socket_.get_executor(); }
  Socket& socket() { return socket_; }

  // void(ErrorCode)
  template <typename Token>
  auto async_handshake(Token&& token) {
    return Start<void(ErrorCode)>(
        [this](size_t&) { return ssl_ == nullptr ? Done(1) : Done(SSL_do_handshake(ssl_.get())); },
        std::forward<Token>(token));
  }

  // void(ErrorCode, size_t)
  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return Start<void(ErrorCode, size_t)>(
        [this, buffers](size_t& count) { return Read(First(buffers), count); },
        std::forward<Token>(token));
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return Start<void(ErrorCode, size_t)>(
        [this, buffers](size_t& count) {
          // One record and one segment for a frame's header and body.
          thread_local std::array<char, 16 * 1024> scratch;
          const boost::asio::const_buffer first = First(buffers);
          if (first.size() == boost::asio::buffer_size(buffers)) return Write(first, count);
          const size_t size = boost::asio::buffer_copy(boost::asio::buffer(scratch), buffers);
          return Write(boost::asio::const_buffer(scratch.data(), size), count);
        },
        std::forward<Token>(token));
  }

  // Says goodbye as far as that goes at once, and ends the sending side.
  void Shutdown() {
    if (ssl_ != nullptr && SSL_is_init_finished(ssl_.get())) {
      SSL_shutdown(ssl_.get());
      ERR_clear_error();
    }
    ErrorCode ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }
  void Close() {
    ErrorCode ignored;
    socket_.close(ignored);
  }

 private:
  struct SslFree {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  enum class Outcome : uint8_t { kDone, kWaitRead, kWaitWrite, kEof, kFailed };

  template <typename Buffers>
  static auto First(const Buffers& buffers) {
    const auto end = boost::asio::buffer_sequence_end(buffers);
    for (auto it = boost::asio::buffer_sequence_begin(buffers); it != end; ++it) {
      const auto buffer = *it;
      if (buffer.size() > 0) return buffer;
    }
    return std::decay_t<decltype(*boost::asio::buffer_sequence_begin(buffers))>();
  }

  Outcome Done(int result) {
    if (result > 0) return Outcome::kDone;
    const int error = SSL_get_error(ssl_.get(), result);
    ERR_clear_error();
    switch (error) {
      case SSL_ERROR_WANT_READ:
        return Outcome::kWaitRead;
      case SSL_ERROR_WANT_WRITE:
        return Outcome::kWaitWrite;
      case SSL_ERROR_ZERO_RETURN:
        return Outcome::kEof;
      default:
        return Outcome::kFailed;
    }
  }
  static Outcome OfErrno(Outcome wait) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? wait : Outcome::kFailed;
  }

  Outcome Read(boost::asio::mutable_buffer into, size_t& count) {
    if (into.size() == 0) return Outcome::kDone;
    if (ssl_ != nullptr) return Done(SSL_read_ex(ssl_.get(), into.data(), into.size(), &count));
    const ssize_t got = recv(socket_.native_handle(), into.data(), into.size(), 0);
    if (got > 0) count = static_cast<size_t>(got);
    return got > 0 ? Outcome::kDone : got == 0 ? Outcome::kEof : OfErrno(Outcome::kWaitRead);
  }
  Outcome Write(boost::asio::const_buffer from, size_t& count) {
    if (from.size() == 0) return Outcome::kDone;
    if (ssl_ != nullptr) return Done(SSL_write_ex(ssl_.get(), from.data(), from.size(), &count));
    const ssize_t put = send(socket_.native_handle(), from.data(), from.size(), MSG_NOSIGNAL);
    if (put >= 0) count = static_cast<size_t>(put);
    return put >= 0 ? Outcome::kDone : OfErrno(Outcome::kWaitWrite);
  }

  template <typename Step>
  struct Operation {
    ClientStream& stream;
    Step step;
    bool first = true;
    bool finished = false;
    ErrorCode result = {};
    size_t count = 0;

    template <typename Self>
    void operator()(Self& self, ErrorCode error = {}) {
      if (!finished && !error) {
        const Outcome outcome = stream.socket_.is_open() ? step(count) : Outcome::kFailed;
        if (outcome == Outcome::kWaitRead || outcome == Outcome::kWaitWrite) {
          first = false;
          return stream.socket_.async_wait(
              outcome == Outcome::kWaitRead ? Socket::wait_read : Socket::wait_write,
              std::move(self));
        }
        if (outcome == Outcome::kEof) error = boost::asio::error::eof;
        if (outcome == Outcome::kFailed) error = boost::asio::error::connection_reset;
      }
      if (!finished) {
        finished = true;
        result = error;
        // A handler mustn't run within the function that starts its operation.
        if (first) return boost::asio::post(stream.get_executor(), std::move(self));
      }
      if constexpr (requires { self.complete(result, count); }) {
        self.complete(result, count);
      } else {
        self.complete(result);
      }
    }
  };

  template <typename Signature, typename Step, typename Token>
  auto Start(Step step, Token&& token) {
    return boost::asio::async_compose<Token, Signature>(
        Operation<Step>{.stream = *this, .step = std::move(step)}, token, socket_);
  }

  Socket socket_;
  std::shared_ptr<TlsContext> tls_;
  std::unique_ptr<SSL, SslFree> ssl_;
};

// How Beast ends a WebSocket's transport.
template <typename Handler>
void async_teardown(boost::beast::role_type, ClientStream& stream, Handler&& handler) {
  stream.Shutdown();
  boost::asio::post(stream.get_executor(),
                    [handler = std::forward<Handler>(handler)]() mutable { handler({}); });
}
inline void teardown(boost::beast::role_type, ClientStream& stream, ClientStream::ErrorCode& ec) {
  stream.Shutdown();
  ec = {};
}
inline void beast_close_socket(ClientStream& stream) { stream.Close(); }

}  // namespace sotto::signaling
