// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/front/http_connection.h"

#include <fmt/format.h>
#include <jansson.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/span_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "relay/daemon/log.h"

namespace sotto::signaling {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr size_t kMaxHeader = 8 * 1024;
constexpr size_t kMaxBody = 1024;
constexpr std::chrono::seconds kPatience(10);  // with a handshake, a request, a response
constexpr size_t kSlowestBytesPerSecond = 16 * 1024;

constexpr std::string_view kPolicy =
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' "
    "data: blob:; media-src 'self' blob:; connect-src 'self' {}; frame-ancestors 'none'; base-uri "
    "'none'; form-action 'none'; object-src 'none'";

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }
beast::string_view BeastView(std::string_view text) { return {text.data(), text.size()}; }

struct Response {
  http::status status = http::status::ok;
  std::string_view type = "text/plain; charset=utf-8";
  std::string text;               // the body, unless it is a file
  const WebFile* file = nullptr;  // outlives the response: `root` holds it
  std::shared_ptr<const WebRoot> root;
  std::string_view allow;  // with 405
};

Response Text(http::status status, std::string text) {
  Response response;
  response.status = status;
  response.text = std::move(text);
  return response;
}

Response OnlyMethods(std::string_view allowed) {
  Response response = Text(http::status::method_not_allowed, fmt::format("Use {}.\n", allowed));
  response.allow = allowed;
  return response;
}

bool IsSameOrigin(const HttpRequest& request, std::string_view origin, bool tls) {
  const std::string_view host = View(request[http::field::host]);
  const std::string own = fmt::format("{}://{}", tls ? "https" : "http", host);
  return !host.empty() && beast::iequals(BeastView(origin), BeastView(own));
}

// RFC 6454. Programs that are no browsers send no Origin, and have no user's cookies to misuse.
bool IsOriginAllowed(const HttpRequest& request, const HttpEnvironment& environment) {
  const auto field = request.find(http::field::origin);
  if (field == request.end()) return true;
  const std::string_view origin = View(field->value());
  if (IsSameOrigin(request, origin, environment.tls)) return true;
  for (const std::string& allowed : environment.origins) {
    if (beast::iequals(BeastView(origin), BeastView(allowed))) return true;
  }
  return false;
}

// RFC 9110, section 13.1.2.
bool Matches(beast::string_view if_none_match, const std::string& etag) {
  for (const auto& item : http::token_list(if_none_match)) {
    if (item == "*") return true;
  }
  return View(if_none_match).find(etag) != std::string_view::npos;
}

Response ServeFile(const HttpRequest& request, const HttpEnvironment& environment) {
  const WebFile* const file = environment.web_root == nullptr
                                  ? nullptr
                                  : environment.web_root->Find(View(request.target()));
  if (file == nullptr) return Text(http::status::not_found, "Not found.\n");
  Response response;
  response.type = file->type;
  response.file = file;
  response.root = environment.web_root;
  const auto condition = request.find(http::field::if_none_match);
  if (condition != request.end() && Matches(condition->value(), file->etag)) {
    response.status = http::status::not_modified;
  }
  return response;
}

// {"account": "alice"} -> {"identity": JWT}
Response ServeDevelopmentIdentity(const HttpRequest& request, const HttpEnvironment& environment) {
  if (request.method() != http::verb::post) return OnlyMethods("POST");
  // A foreign page can't send this type without a preflight, which isn't answered.
  if (!View(request[http::field::content_type]).starts_with("application/json") ||
      !IsOriginAllowed(request, environment)) {
    return Text(http::status::forbidden, "Send application/json, from this origin.\n");
  }
  json_t* const body = json_loadb(request.body().data(), request.body().size(), 0, nullptr);
  const char* const name = json_string_value(json_object_get(body, "account"));
  const std::optional<AccountId> account = name == nullptr ? std::nullopt : AccountId::Parse(name);
  json_decref(body);
  if (!account) {
    return Text(http::status::bad_request,
                "Send {\"account\": NAME}, with a name of 1 to 64 characters of A-Z a-z 0-9 . _ ~ "
                "@ + -\n");
  }
  const absl::StatusOr<std::string> jwt =
      environment.development->Issue(*account, environment.unix_s());
  if (!jwt.ok())
    return Text(http::status::internal_server_error, "The identity can't be signed.\n");
  Response response = Text(http::status::ok, fmt::format("{{\"identity\":\"{}\"}}\n", *jwt));
  response.type = "application/json";
  return response;
}

Response Serve(const HttpRequest& request, const HttpEnvironment& environment) {
  const std::string_view target = View(request.target());
  const std::string_view path = target.substr(0, target.find('?'));
  if (path == "/v1/development/identity" && environment.development != nullptr) {
    return ServeDevelopmentIdentity(request, environment);
  }
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    return OnlyMethods("GET, HEAD");
  }
  if (path == "/healthz") return Text(http::status::ok, "ok\n");
  if (path == "/v1") {
    return Text(http::status::upgrade_required,
                "This is a WebSocket endpoint; its subprotocol is sotto.v1.\n");
  }
  return ServeFile(request, environment);
}

// Why an upgrade to WebSocket is refused, if it is.
std::optional<Response> RefuseUpgrade(const HttpRequest& request,
                                      const HttpEnvironment& environment) {
  if (request.target() != "/v1") {
    return Text(http::status::not_found, "The WebSocket is at /v1.\n");
  }
  if (!http::token_list(request[http::field::sec_websocket_protocol]).exists("sotto.v1")) {
    return Text(http::status::bad_request, "Request the subprotocol sotto.v1.\n");
  }
  if (!IsOriginAllowed(request, environment)) {
    return Text(http::status::forbidden, "This origin is not in [server] origins.\n");
  }
  return std::nullopt;
}

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
  // Declared before its use, as its type is deduced.
  auto Awaitable() { return asio::redirect_error(asio::use_awaitable, error_); }

 public:
  HttpConnection(ClientStream stream, ConnectionLimits::Place place,
                 std::shared_ptr<const HttpEnvironment> environment)
      : place_(std::move(place)),
        environment_(std::move(environment)),
        stream_(std::move(stream)),
        patience_(stream_.get_executor()) {}

  asio::awaitable<void> Run() {
    ExpireAfter(kPatience);
    co_await stream_.async_handshake(Awaitable());
    while (!error_) {
      std::optional<http::request_parser<http::string_body>> parser;
      parser.emplace();
      parser->header_limit(kMaxHeader);
      parser->body_limit(kMaxBody);
      ExpireAfter(kPatience);
      co_await http::async_read(stream_, buffer_, *parser, Awaitable());
      if (error_) {
        co_await AnswerError(error_);
        break;
      }
      HttpRequest request = parser->release();
      parser.reset();
      if (beast::websocket::is_upgrade(request)) {
        std::optional<Response> refused = RefuseUpgrade(request, *environment_);
        // What came behind the request belongs to nobody: a client has to wait for the answer.
        if (!refused && buffer_.size() > 0) {
          refused = Text(http::status::bad_request, "Frames arrived before the upgrade.\n");
        }
        if (!refused) {
          patience_.cancel();
          StartWebSocket(std::move(stream_), std::move(request), std::move(place_),
                         *environment_->websocket);
          co_return;
        }
        request.keep_alive(false);
        co_await Write(request, *refused);
        break;
      }
      co_await Write(request, Serve(request, *environment_));
      if (!request.keep_alive()) break;
    }
    if (stream_.socket().is_open()) stream_.Shutdown();
    patience_.cancel();
  }

 private:
  void ExpireAfter(std::chrono::steady_clock::duration patience) {
    patience_.expires_after(patience);
    patience_.async_wait([weak = weak_from_this()](beast::error_code error) {
      const auto self = weak.lock();
      if (!error && self != nullptr) self->stream_.Close();
    });
  }

  asio::awaitable<void> AnswerError(beast::error_code error) {
    HttpRequest request;
    request.version(11);
    request.keep_alive(false);
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      co_await Write(request, Text(http::status::request_header_fields_too_large,
                                   "The header is larger than 8 KiB.\n"));
    } else if (error == http::error::body_limit) {
      co_await Write(request,
                     Text(http::status::payload_too_large, "The body is larger than 1 KiB.\n"));
    } else if (error.category() == make_error_code(http::error::bad_method).category() &&
               error != http::error::end_of_stream && error != http::error::partial_message) {
      co_await Write(request, Text(http::status::bad_request, "This is not HTTP/1.1.\n"));
    }
  }

  asio::awaitable<void> Write(const HttpRequest& request, Response response) {
    const std::string_view body =
        response.file != nullptr ? std::string_view(response.file->content) : response.text;
    const bool has_body =
        request.method() != http::verb::head && response.status != http::status::not_modified;
    http::response<http::span_body<const char>> message(response.status, request.version());
    message.keep_alive(request.keep_alive());
    message.set(http::field::server, "sotto-signald");
    message.set(http::field::content_type, BeastView(response.type));
    message.set("X-Content-Type-Options", "nosniff");
    message.set("Referrer-Policy", "no-referrer");
    message.set("Permissions-Policy", "camera=(self), microphone=(self), geolocation=()");
    message.set("Cross-Origin-Opener-Policy", "same-origin");
    message.set("Cross-Origin-Resource-Policy", "same-origin");
    message.set("Content-Security-Policy",
                fmt::format(fmt::runtime(kPolicy), environment_->tls ? "wss:" : "wss: ws:"));
    // Not in development: it would bind every server on this host's name.
    if (environment_->tls && environment_->development == nullptr) {
      message.set(http::field::strict_transport_security, "max-age=31536000");
    }
    if (!response.allow.empty()) message.set(http::field::allow, BeastView(response.allow));
    if (response.status == http::status::upgrade_required) {
      message.set(http::field::upgrade, "websocket");
    }
    if (response.file != nullptr) {
      message.set(http::field::etag, response.file->etag);
      message.set(http::field::cache_control,
                  response.file->immutable ? "public, max-age=31536000, immutable" : "no-cache");
    } else {
      message.set(http::field::cache_control, "no-store");
    }
    if (response.status != http::status::not_modified) message.content_length(body.size());
    if (has_body) {
      message.body() = {body.data(), body.size()};
    }
    ExpireAfter(kPatience + std::chrono::seconds(body.size() / kSlowestBytesPerSecond));
    http::serializer<false, http::span_body<const char>> serializer(message);
    if (has_body) {
      co_await http::async_write(stream_, serializer, Awaitable());
    } else {
      co_await http::async_write_header(stream_, serializer, Awaitable());
    }
  }

  ConnectionLimits::Place place_;
  std::shared_ptr<const HttpEnvironment> environment_;
  ClientStream stream_;
  asio::steady_timer patience_;
  beast::flat_buffer buffer_{kMaxHeader + kMaxBody};
  beast::error_code error_;  // of the last operation
};

}  // namespace

void StartHttp(ClientStream stream, ConnectionLimits::Place place,
               std::shared_ptr<const HttpEnvironment> environment) {
  const auto executor = stream.get_executor();
  auto connection =
      std::make_shared<HttpConnection>(std::move(stream), std::move(place), std::move(environment));
  asio::co_spawn(
      executor, [connection] { return connection->Run(); },
      [connection](const std::exception_ptr& failure) {
        if (failure == nullptr) return;
        Log(LogLevel::kError,
            "A connection failed because of an internal error or lack of memory.");
      });
}

}  // namespace sotto::signaling
