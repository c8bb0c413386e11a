// SPDX-License-Identifier: Apache-2.0
// Messages of the .proto files as operators read them: the fields' own names, every field of a
// message whether it is set or not, 64-bit integers as numbers, addresses as text, other bytes in
// hexadecimal, enumerators as words in lower case without their type ("serving").
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

namespace sotto::tools {

// Keeps the order of the fields.
using Json = nlohmann::ordered_json;

// A message that isn't set is null.
Json ToJson(const google::protobuf::Message& message);

// 4 or 16 bytes in network order as an IP address; in hexadecimal if it is neither.
std::string AddressText(std::string_view bytes);

std::string Hex(std::string_view bytes);

}  // namespace sotto::tools
