# SPDX-License-Identifier: Apache-2.0
# How everything in Sotto is compiled, and the helpers that the folders' CMakeLists.txt use:
#
#   sotto_library(NAME SRCS a.cc b.cc [DEPS lib ...])
#   sotto_binary(NAME SRCS main.cc [DEPS lib ...])
#       makes build/<preset>/bin/NAME
#   sotto_test(NAME SRCS a_test.cc ... [DEPS lib ...] [EAL])
#       makes the ctest entry NAME; EAL: its main() starts DPDK
#   sotto_fuzz(NAME SRCS a_fuzz.cc [DEPS lib ...] [CORPUS dir])
#       only with SOTTO_FUZZ; a short run is a ctest entry
#   sotto_system_test(NAME SCRIPT a_test.py ...)
#       makes the ctest entry NAME: whole programs, driven by Python
#   sotto_find_tool(VAR program PACKAGE name FOR test ...)
#       sets VAR to a program that tests may do without
#
# COLD, of a library or a binary: no packet and no call waits for it, so it is compiled with -O1, in
# half the time.
#
# Each takes [PCH core|test|dpdk|dpdk_test|grpc|asio|none], the headers that it finds parsed
# (cmake/pch). The default is `core`; of tests `test`, and with EAL `dpdk_test`. A header belongs
# there only if it leaves nothing to compile to each file that includes it: CLI11 costs seconds.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

# Clones share what is compiled, wherever they lie; and precompiled headers, which ccache takes for
# what they were made of.
find_program(SOTTO_CCACHE ccache)
if(SOTTO_CCACHE)
  set(launcher ${CMAKE_COMMAND} -E env
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_INODECACHE=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${SOTTO_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

add_library(sotto_flags INTERFACE)
target_include_directories(sotto_flags INTERFACE ${PROJECT_SOURCE_DIR})
# All of it goes into programs, so all is compiled alike, and precompiled headers fit everything.
target_compile_options(sotto_flags INTERFACE
  -pthread -fPIE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wcast-align -Wundef -Werror
  -fno-strict-aliasing)
target_link_options(sotto_flags INTERFACE -pthread -pie LINKER:--as-needed)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # At -O3 GCC 12 reports these in libstdc++'s vector and string where nothing is wrong (GCC bugs
  # 105329, 105651, 107852); ASan looks after the real ones.
  target_compile_options(sotto_flags INTERFACE
    -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread)
endif()
# Debian's Abseil is built as C++14: its string_view is its own type, so StrCat refuses
# std::string_view. Sotto formats messages with {fmt}.
# DPDK's packet helpers need SSE4.2.
if(SOTTO_CPU)
  target_compile_options(sotto_flags INTERFACE -march=${SOTTO_CPU})
else()
  target_compile_options(sotto_flags INTERFACE -march=x86-64-v2)
endif()
if(SOTTO_DEBUG_OPTIMIZE)
  target_compile_options(sotto_flags INTERFACE -O1)
endif()
if(SOTTO_SANITIZE)
  target_compile_options(sotto_flags INTERFACE
    -fsanitize=${SOTTO_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -O1)
  target_link_options(sotto_flags INTERFACE -fsanitize=${SOTTO_SANITIZE})
endif()
if(SOTTO_FUZZ)
  target_compile_options(sotto_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(sotto_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# A library for each folder of cmake/pch, whose precompiled header others reuse. What the header
# includes changes how it is compiled, so whoever reuses it gets the same.
function(sotto_precompiled stack)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/pch/${stack}.cc
       CONTENT "// Carries a precompiled header.\n")
  add_library(sotto_pch_${stack} STATIC ${PROJECT_BINARY_DIR}/pch/${stack}.cc)
  target_link_libraries(sotto_pch_${stack} PUBLIC sotto_flags ${ARG_DEPS})
  # In quotes, CMake takes the name as it is. A path would differ between clones, and with it all
  # that is compiled with this header: ccache would find none of it.
  target_precompile_headers(sotto_pch_${stack} PRIVATE "\"cmake/pch/${stack}.h\"")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(sotto_pch_${stack} PUBLIC -fpch-preprocess)  # for ccache
  endif()
endfunction()
function(sotto_reuse_pch name stack)
  if(NOT stack STREQUAL "none")
    target_link_libraries(${name} PRIVATE sotto_pch_${stack})
    target_precompile_headers(${name} REUSE_FROM sotto_pch_${stack})
  endif()
endfunction()

function(sotto_library name)
  cmake_parse_arguments(ARG "COLD" "PCH" "SRCS;DEPS" ${ARGN})
  if(NOT ARG_SRCS)
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE sotto_flags ${ARG_DEPS})
    return()
  endif()
  add_library(${name} STATIC ${ARG_SRCS})
  target_link_libraries(${name} PUBLIC sotto_flags ${ARG_DEPS})
  if(NOT ARG_PCH)
    set(ARG_PCH core)
  endif()
  sotto_reuse_pch(${name} ${ARG_PCH})
  if(ARG_COLD)
    target_compile_options(${name} PRIVATE -O1)
  endif()
endfunction()

function(sotto_binary name)
  cmake_parse_arguments(ARG "COLD" "PCH" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE sotto_flags ${ARG_DEPS})
  if(NOT ARG_PCH)
    set(ARG_PCH core)
  endif()
  sotto_reuse_pch(${name} ${ARG_PCH})
  if(ARG_COLD)
    target_compile_options(${name} PRIVATE -O1)
  endif()
endfunction()

function(sotto_test name)
  cmake_parse_arguments(ARG "EAL" "PCH" "SRCS;DEPS" ${ARGN})
  if(NOT SOTTO_TESTS)
    return()
  endif()
  add_executable(${name} ${ARG_SRCS})
  set(main GTest::gmock_main)
  if(ARG_EAL)
    set(main sotto_eal_test_main)
  endif()
  target_link_libraries(${name} PRIVATE sotto_flags ${ARG_DEPS} ${main})
  if(NOT ARG_PCH)
    set(ARG_PCH test)
    if(ARG_EAL)
      set(ARG_PCH dpdk_test)
    endif()
  endif()
  sotto_reuse_pch(${name} ${ARG_PCH})
  # Of the tests themselves; what they test is as it is in use.
  target_compile_options(${name} PRIVATE -O1)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300)
endfunction()

function(sotto_fuzz name)
  cmake_parse_arguments(ARG "" "CORPUS;PCH" "SRCS;DEPS" ${ARGN})
  if(NOT SOTTO_FUZZ)
    return()
  endif()
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE sotto_flags ${ARG_DEPS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set(seconds 10)
  if(DEFINED ENV{SOTTO_FUZZ_SECONDS})
    set(seconds $ENV{SOTTO_FUZZ_SECONDS})
  endif()
  # New inputs go to the build tree; the corpus in the source tree is read only.
  set(found ${CMAKE_CURRENT_BINARY_DIR}/${name}.found)
  file(MAKE_DIRECTORY ${found})
  add_test(NAME fuzz.${name}
           COMMAND ${name} -max_total_time=${seconds} -timeout=10 -rss_limit_mb=2048
                   -print_final_stats=1
                   -artifact_prefix=${CMAKE_CURRENT_BINARY_DIR}/ ${found} ${ARG_CORPUS})
  set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 600)
endfunction()

# Seconds that a test may take, by default; with a sanitizer each takes some four times as long.
set(SOTTO_TEST_TIMEOUT 300)
if(SOTTO_SANITIZE)
  set(SOTTO_TEST_TIMEOUT 900)
endif()

# sotto_system_test(NAME SCRIPT a_test.py [ROOT] [SERIAL] [GRPC] [NEEDS TOOL ...] [ARGS word ...]
#                   [ENV A=b ...] [LABELS label ...] [FIXTURES name ...] [TIMEOUT seconds])
#
# A Python script of this folder against the binaries of this build. ROOT: it needs root, and has
# the machine to itself; its label is root. Without ROOT its label is loopback, and SERIAL gives it
# the machine alone. GRPC: it runs in Debian's Python, which has gRPC. NEEDS: variables of
# sotto_find_tool; without such a tool there is no such test.
function(sotto_system_test name)
  cmake_parse_arguments(ARG "ROOT;SERIAL;GRPC" "SCRIPT;TIMEOUT" "NEEDS;ARGS;ENV;LABELS;FIXTURES"
                        ${ARGN})
  set(python Python3::Interpreter)
  if(ARG_GRPC)
    sotto_find_tool(SOTTO_GRPC_PYTHON python3 PACKAGE "python3-grpcio python3-protobuf"
                    PATHS /usr/bin
                    MODULES grpc google.protobuf FOR ${name})
    set(python ${SOTTO_GRPC_PYTHON})
    list(APPEND ARG_NEEDS SOTTO_GRPC_PYTHON)
  endif()
  foreach(tool IN LISTS ARG_NEEDS)
    if(NOT ${tool})
      return()
    endif()
  endforeach()
  set(label loopback)
  set(serial ${ARG_SERIAL})
  if(ARG_ROOT)
    set(label root)
    set(serial TRUE)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT ${SOTTO_TEST_TIMEOUT})
  endif()
  set(environment SOTTO_BIN=${CMAKE_BINARY_DIR}/bin SOTTO_SANITIZED=${SOTTO_SANITIZE} ${ARG_ENV})
  add_test(NAME ${name} COMMAND ${python} -B ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_SCRIPT} ${ARG_ARGS})
  set_tests_properties(${name} PROPERTIES
    ENVIRONMENT "${environment}" LABELS "${label};${ARG_LABELS}" FIXTURES_REQUIRED "${ARG_FIXTURES}"
    RUN_SERIAL ${serial} SKIP_RETURN_CODE 77 TIMEOUT ${ARG_TIMEOUT})
endfunction()

# sotto_find_tool(VAR program PACKAGE name FOR test ... [PATHS folder ...] [MODULES module ...])
#
# Finds a program as find_program does (in PATHS alone, if they are given), which as a Python must
# have the modules. Where it is missing, the tests that it is FOR are left out, and a line says
# which Debian package brings it. In CI (the environment has CI) nothing is left out: there it is an
# error.
function(sotto_find_tool var program)
  cmake_parse_arguments(ARG "" "PACKAGE" "FOR;PATHS;MODULES" ${ARGN})
  if(ARG_PATHS)
    find_program(${var} ${program} PATHS ${ARG_PATHS} NO_DEFAULT_PATH)
  else()
    find_program(${var} ${program})
  endif()
  if(${var} AND ARG_MODULES)
    list(JOIN ARG_MODULES ", " modules)
    get_property(failed GLOBAL PROPERTY ${var}_FAILED)
    if("${failed}" STREQUAL "")
      execute_process(COMMAND ${${var}} -c "import ${modules}" RESULT_VARIABLE failed
                      OUTPUT_QUIET ERROR_QUIET)
      set_property(GLOBAL PROPERTY ${var}_FAILED ${failed})
    endif()
    if(failed)
      set(${var} ${var}-NOTFOUND CACHE FILEPATH "" FORCE)
      set(program "${program} with ${modules}")
    endif()
  endif()
  if(NOT ${var})
    list(JOIN ARG_FOR ", " tests)
    set(missing "${tests} left out, as there is no ${program}: apt-get install ${ARG_PACKAGE}")
    if(NOT "$ENV{CI}" STREQUAL "")
      message(FATAL_ERROR "${missing} (CI leaves no test out)")
    endif()
    message(STATUS "${missing}")
  endif()
endfunction()

# sotto_proto(NAME SRCS a.proto [GRPC]): the C++ of .proto files, included as "folder/a.pb.h" from
# the root. Generated code is held to no warning of ours.
function(sotto_proto name)
  cmake_parse_arguments(ARG "GRPC" "" "SRCS" ${ARGN})
  set(out)
  foreach(src ${ARG_SRCS})
    set(path ${CMAKE_CURRENT_SOURCE_DIR}/${src})
    file(RELATIVE_PATH base ${PROJECT_SOURCE_DIR} ${path})
    string(REGEX REPLACE "\\.proto$" "" base ${PROJECT_BINARY_DIR}/proto/${base})
    set(made ${base}.pb.cc ${base}.pb.h)
    set(grpc)
    if(ARG_GRPC)
      list(APPEND made ${base}.grpc.pb.cc ${base}.grpc.pb.h)
      set(grpc --grpc_out=${PROJECT_BINARY_DIR}/proto
          --plugin=protoc-gen-grpc=${SOTTO_GRPC_CPP_PLUGIN})
    endif()
    add_custom_command(
      OUTPUT ${made}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/proto
      COMMAND protobuf::protoc -I${PROJECT_SOURCE_DIR} --cpp_out=${PROJECT_BINARY_DIR}/proto ${grpc}
              ${path}
      DEPENDS ${path} VERBATIM)
    list(APPEND out ${made})
  endforeach()
  add_library(${name} STATIC ${out})
  # It is long, and none of it is in the way of a packet.
  target_compile_options(${name} PRIVATE -fPIE -O1)
  target_include_directories(${name} SYSTEM PUBLIC ${PROJECT_BINARY_DIR}/proto)
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf)
  if(ARG_GRPC)
    target_link_libraries(${name} PUBLIC gRPC::grpc++)
  endif()
  # The sanitizers must see it, as what it allocates crosses into our code.
  if(SOTTO_SANITIZE)
    target_compile_options(${name} PRIVATE -fsanitize=${SOTTO_SANITIZE} -fno-sanitize-recover=all)
  endif()
endfunction()

sotto_precompiled(core DEPS fmt::fmt absl::status absl::statusor absl::flat_hash_map)
if(SOTTO_TESTS)
  sotto_precompiled(test DEPS sotto_pch_core GTest::gmock GTest::gtest)
endif()
