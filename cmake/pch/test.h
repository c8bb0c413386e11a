// SPDX-License-Identifier: Apache-2.0
// What unit tests include, parsed once for all of them (SottoBuild.cmake).
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmake/pch/core.h"
