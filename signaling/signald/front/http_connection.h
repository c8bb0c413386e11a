// SPDX-License-Identifier: Apache-2.0
// A client's connection while it speaks HTTP/1.1: the web client's files, /healthz, identities for
// development, and the upgrade to WebSocket at /v1.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "signaling/identity/development_issuer.h"
#include "signaling/signald/front/client_stream.h"
#include "signaling/signald/front/connection_limits.h"
#include "signaling/signald/front/web_root.h"
#include "signaling/signald/front/websocket_connection.h"

namespace sotto::signaling {

// What HTTP connections need of the server; lives longer than every connection, and is changed
// between requests alone.
struct HttpEnvironment {
  WebSocketEnvironment* websocket = nullptr;
  bool tls = true;
  std::vector<std::string> origins;         // beside the server's own, "https://app.example.org"
  std::shared_ptr<const WebRoot> web_root;  // none: no files
  const DevelopmentIssuer* development = nullptr;
  std::function<int64_t()> unix_s;
};

// Serves the connection until it ends or becomes a WebSocket; it owns itself.
void StartHttp(ClientStream stream, ConnectionLimits::Place place,
               std::shared_ptr<const HttpEnvironment> environment);

}  // namespace sotto::signaling
