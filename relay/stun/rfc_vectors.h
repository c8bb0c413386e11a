// SPDX-License-Identifier: Apache-2.0
// The sample messages of RFC 5769 and of RFC 8489, appendix B.1, for tests.
#pragma once

#include <string_view>

namespace sotto::relay {

// The short-term password of the first three.
constexpr std::string_view kRfc5769Password = "VOkJxbRl1RmTxUk/WvJxBt";

// RFC 5769, section 2.1 (padding of USERNAME is spaces).
constexpr std::string_view kRfc5769Request =
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf";

// RFC 5769, section 2.2.
constexpr std::string_view kRfc5769Ipv4Response =
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96";

// RFC 5769, section 2.3.
constexpr std::string_view kRfc5769Ipv6Response =
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c";

// RFC 5769, section 2.4: user name and password after SASLprep, realm "example.org".
constexpr std::string_view kSampleUsername = "マトリックス";
constexpr std::string_view kSamplePassword = "TheMatrIX";
constexpr std::string_view kSampleRealm = "example.org";
constexpr std::string_view kRfc5769LongTerm =
    "000100602112a44278ad3433c6ad72c029da412e"
    "00060012e3839ee38388e383aae38383e382afe382b90000"
    "0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341"
    "0014000b6578616d706c652e6f726700"
    "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

// RFC 8489, appendix B.1, with its verified erratum: the message as printed has a wrong length and
// lacks PASSWORD-ALGORITHM. The MAC as printed is that of the printed header and attributes.
constexpr std::string_view kRfc8489LongTermSha256 =
    "000100902112a44278ad3433c6ad72c029da412e"
    "001e00204a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"
    "001500296f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c394653547679363473410000"
    "00"
    "0014000b6578616d706c652e6f726700"
    "001d000400020000"
    "001c0020b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65";
constexpr std::string_view kRfc8489PrintedCovered =
    "0001009c2112a44278ad3433c6ad72c029da412e"
    "001e00204a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"
    "001500296f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c394653547679363473410000"
    "00"
    "0014000b6578616d706c652e6f726700";
constexpr std::string_view kRfc8489PrintedMac =
    "e4686c8f0edeb59013e07090010a93efccbccc544c0a45d9f830aa6d6f735a01";

}  // namespace sotto::relay
