// SPDX-License-Identifier: Apache-2.0
// What unit tests of the dataplane include, parsed once for all of them (SottoBuild.cmake).
#pragma once

#include "cmake/pch/dpdk.h"
#include "cmake/pch/test.h"
