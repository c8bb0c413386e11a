# SPDX-License-Identifier: Apache-2.0
"""A client of sotto-relayd's CallControl service, for tests. Debian's Python, with its
python3-grpcio.

As a program: call_control.py TARGET METHOD [CALL] [--ca FILE] [--cert FILE --key FILE]
prints the answer, or the status' name and message and ends with 1.
"""

import argparse
import ipaddress
import pathlib
import queue
import sys
import threading

from admin import Services, grpc, relay_pb as pb

_SERVICE = "sotto.relay.v1.CallControl"
_KINDS = {pb.LegEvent.KIND_STANDING: "standing", pb.LegEvent.KIND_ALLOCATED: "allocated",
          pb.LegEvent.KIND_ENDED: "ended", pb.LegEvent.KIND_ALL_STANDING: "all standing"}


def leg_of(message):
    """("CALL/a", [(address, port), ...])"""
    relayed = [(str(ipaddress.ip_address(r.ip)), r.port) for r in message.relayed]
    return f"{message.call}/{'ab'[message.side - 1]}", relayed


class CallControl(Services):
    """Errors are grpc.RpcError."""

    def _call(self, method, request, answer, timeout=10):
        return self.channel.unary_unary(
            f"/{_SERVICE}/{method}", request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=answer.FromString)(request, timeout=timeout)

    def arm(self, call):
        return self._call("ArmCall", pb.ArmCallRequest(call=call), pb.ArmCallResponse).call

    def disarm(self, call):
        return self._call("DisarmCall", pb.DisarmCallRequest(call=call), pb.DisarmCallResponse)

    def end(self, call):
        return self._call("EndCall", pb.EndCallRequest(call=call), pb.EndCallResponse)

    def get(self, call):
        return self._call("GetCall", pb.GetCallRequest(call=call), pb.Call)

    def relay(self):
        return self._call("GetRelay", pb.GetRelayRequest(), pb.Relay)

    def watch(self):
        return Watch(self.channel.unary_stream(
            f"/{_SERVICE}/WatchLegs", request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=pb.LegEvent.FromString)(pb.WatchLegsRequest()))

    def services(self):
        """What the server says of itself by reflection, raw: no messages of it are at hand."""
        list_services = b"\x3a\x01*"  # ServerReflectionRequest.list_services = "*"
        stream = self.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=lambda b: b, response_deserializer=lambda b: b)
        return next(stream(iter([list_services]), timeout=10)).decode("latin-1")


class Watch:
    """Events of WatchLegs: ("allocated", "CALL/a", [(address, port), ...])."""

    def __init__(self, stream):
        self._stream, self._events = stream, queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for event in self._stream:
                leg = leg_of(event.leg) if event.HasField("leg") else ()
                self._events.put((_KINDS[event.kind], *leg))
        except grpc.RpcError as error:
            self._events.put(("over", error.code().name))

    def next(self, seconds=5):
        """None if nothing comes in time."""
        try:
            return self._events.get(timeout=seconds)
        except queue.Empty:
            return None

    def close(self):
        self._stream.cancel()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("method", choices=["arm", "disarm", "end", "get", "relay"])
    parser.add_argument("call", nargs="?")
    for name in ("--ca", "--cert", "--key"):
        parser.add_argument(name, type=lambda path: pathlib.Path(path).read_bytes())
    options = parser.parse_args()
    credentials = options.ca and grpc.ssl_channel_credentials(options.ca, options.key, options.cert)
    client = CallControl(options.target, credentials)
    try:
        print(getattr(client, options.method)(*([options.call] if options.call else [])))
    except grpc.RpcError as error:
        print(error.code().name, error.details())
        sys.exit(1)


if __name__ == "__main__":
    main()
