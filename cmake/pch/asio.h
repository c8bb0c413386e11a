// SPDX-License-Identifier: Apache-2.0
// Asio and Beast, parsed once for all that speak HTTP, WebSocket or TLS with them
// (SottoBuild.cmake).
#pragma once

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "cmake/pch/core.h"
