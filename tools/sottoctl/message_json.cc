// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/message_json.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "relay/base/ip_address.h"

namespace sotto::tools {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// "STATE_SERVING" of the type State is "serving".
std::string EnumeratorWord(const EnumValueDescriptor& value) {
  std::string word = value.name();
  std::transform(word.begin(), word.end(), word.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  std::string prefix;
  for (const char c : value.type()->name()) {
    if (c >= 'A' && c <= 'Z' && !prefix.empty()) prefix += '_';
    prefix += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  prefix += '_';
  return word.starts_with(prefix) ? word.substr(prefix.size()) : word;
}

bool IsAddress(const FieldDescriptor& field) {
  return field.name() == "ip" || field.name() == "relay_addresses";
}

Json BytesJson(const FieldDescriptor& field, const std::string& bytes) {
  return IsAddress(field) ? AddressText(bytes) : Hex(bytes);
}

Json MessageJson(const Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  const Reflection& fields = *message.GetReflection();
  if (type.name() == "TransportAddress") {
    const std::string ip = AddressText(fields.GetString(message, type.FindFieldByName("ip")));
    const uint32_t port = fields.GetUInt32(message, type.FindFieldByName("port"));
    const bool v6 = ip.find(':') != std::string::npos;
    return v6 ? fmt::format("[{}]:{}", ip, port) : fmt::format("{}:{}", ip, port);
  }
  return ToJson(message);
}

Json Singular(const Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return r.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return r.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return r.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return r.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return r.GetDouble(message, &field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return r.GetFloat(message, &field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return r.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumeratorWord(*r.GetEnum(message, &field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return r.HasField(message, &field) ? MessageJson(r.GetMessage(message, &field)) : Json();
    case FieldDescriptor::CPPTYPE_STRING:
      return field.type() == FieldDescriptor::TYPE_BYTES
                 ? BytesJson(field, r.GetString(message, &field))
                 : Json(r.GetString(message, &field));
  }
  return Json();
}

Json Element(const Message& message, const FieldDescriptor& field, int i) {
  const Reflection& r = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return r.GetRepeatedInt32(message, &field, i);
    case FieldDescriptor::CPPTYPE_INT64:
      return r.GetRepeatedInt64(message, &field, i);
    case FieldDescriptor::CPPTYPE_UINT32:
      return r.GetRepeatedUInt32(message, &field, i);
    case FieldDescriptor::CPPTYPE_UINT64:
      return r.GetRepeatedUInt64(message, &field, i);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return r.GetRepeatedDouble(message, &field, i);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return r.GetRepeatedFloat(message, &field, i);
    case FieldDescriptor::CPPTYPE_BOOL:
      return r.GetRepeatedBool(message, &field, i);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumeratorWord(*r.GetRepeatedEnum(message, &field, i));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return MessageJson(r.GetRepeatedMessage(message, &field, i));
    case FieldDescriptor::CPPTYPE_STRING:
      return field.type() == FieldDescriptor::TYPE_BYTES
                 ? BytesJson(field, r.GetRepeatedString(message, &field, i))
                 : Json(r.GetRepeatedString(message, &field, i));
  }
  return Json();
}

}  // namespace

Json ToJson(const Message& message) {
  Json out = Json::object();
  const Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (!field.is_repeated()) {
      out[field.name()] = Singular(message, field);
      continue;
    }
    Json list = Json::array();
    const int size = message.GetReflection()->FieldSize(message, &field);
    for (int n = 0; n < size; ++n) list.push_back(Element(message, field, n));
    out[field.name()] = std::move(list);
  }
  return out;
}

std::string AddressText(std::string_view bytes) {
  std::array<uint8_t, 16> raw = {};
  std::copy_n(bytes.begin(), std::min(bytes.size(), raw.size()), raw.begin());
  if (bytes.size() == 4) {
    return IpAddress::V4(std::span<const uint8_t, 4>(raw.data(), 4)).ToString();
  }
  if (bytes.size() == 16) return IpAddress::V6(raw).ToString();
  return Hex(bytes);
}

std::string Hex(std::string_view bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char c : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[static_cast<uint8_t>(c) >> 4];
    text += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return text;
}

}  // namespace sotto::tools
