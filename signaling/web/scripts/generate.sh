#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# TypeScript of the .proto files, into src/gen, by Debian's protoc (package protobuf-compiler).
set -eu
cd "$(dirname "$0")/.."
out=src/gen
made=$out/.made
protos="../api/signaling.proto ../api/call_body.proto src/lib/local_state.proto"
# shellcheck disable=SC2086
[ -e $made ] && [ -z "$(find $protos package-lock.json -newer $made)" ] && exit 0
mkdir -p $out
# shellcheck disable=SC2086
"${PROTOC:-protoc}" --plugin=protoc-gen-es=node_modules/.bin/protoc-gen-es \
  -I ../api -I src/lib --es_out=$out --es_opt=target=ts,import_extension=none $protos
touch $made
