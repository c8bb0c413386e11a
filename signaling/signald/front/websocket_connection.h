// SPDX-License-Identifier: Apache-2.0
// A client's WebSocket, from the upgrade of its HTTP connection on.
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>

#include "signaling/service/service.h"
#include "signaling/signald/front/client_stream.h"
#include "signaling/signald/front/connection_limits.h"

namespace sotto::signaling {

using HttpRequest = boost::beast::http::request<boost::beast::http::string_body>;

// What a connection needs of the server; lives longer than every connection.
struct WebSocketEnvironment {
  Service* service = nullptr;
  std::function<void()> after_service;  // to be called after each call of `service`
};

// Accepts the upgrade that `request` asks for and serves the connection until it ends; it owns
// itself.
void StartWebSocket(ClientStream stream, HttpRequest request, ConnectionLimits::Place place,
                    WebSocketEnvironment& environment);

}  // namespace sotto::signaling
