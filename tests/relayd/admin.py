# SPDX-License-Identifier: Apache-2.0
"""A client of sotto-relayd's services Admin and Daemon, for tests. Debian's Python, with its
python3-grpcio.

    Admin(target).call("GetStatus"); .call("AddUser", name="x"); .daemon("Reload")

answer with the message; a list that is streamed, with an iterator. Errors are grpc.RpcError.
"""

import importlib
import pathlib
import subprocess
import sys
import tempfile

import grpc

# Tests fork, to run programs. gRPC 1.51 aborts if that happens while it shuts down, which it does
# whenever the last channel is closed: so one stays.
_KEPT = grpc.insecure_channel("unix:/nonexistent")

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _load_messages():
    """The messages of relay/api, made anew: Debian has protoc, but no plugin for Python's gRPC
    stubs."""
    names = ("relay", "admin", "daemon")
    with tempfile.TemporaryDirectory(prefix="sotto-proto-") as folder:
        subprocess.run(["protoc", f"--python_out={folder}", f"-I{ROOT}",
                        *(f"relay/api/{name}.proto" for name in names)], check=True)
        sys.path.insert(0, folder)
        try:
            return [importlib.import_module(f"relay.api.{name}_pb2") for name in names]
        finally:
            sys.path.remove(folder)


relay_pb, admin_pb, daemon_pb = _load_messages()


class Services:
    """Every method of some services at a target, by name."""

    def __init__(self, target, credentials=None):
        # A connection of its own, each time.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0),
                   ("grpc.max_receive_message_length", 64 << 20)]
        self.channel = (grpc.secure_channel(target, credentials, options) if credentials
                        else grpc.insecure_channel(target, options))

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def invoke(self, service, method, timeout, fields):
        described = service.methods_by_name[method]
        request = described.input_type._concrete_class(**fields)
        answer = described.output_type._concrete_class
        # Descriptors of this protobuf don't tell which methods stream.
        streams = service.full_name == "sotto.relay.v1.Admin" and method in (
            "ListAllocations", "ListCalls", "Capture")
        make = self.channel.unary_stream if streams else self.channel.unary_unary
        return make(f"/{service.full_name}/{method}",
                    request_serializer=lambda message: message.SerializeToString(),
                    response_deserializer=answer.FromString)(request, timeout=timeout)


class Admin(Services):
    def call(self, method, timeout=20, **fields):
        return self.invoke(admin_pb.DESCRIPTOR.services_by_name["Admin"], method, timeout, fields)

    def daemon(self, method, timeout=20, **fields):
        return self.invoke(daemon_pb.DESCRIPTOR.services_by_name["Daemon"], method, timeout, fields)

    def control(self, method, timeout=20, **fields):
        return self.invoke(relay_pb.DESCRIPTOR.services_by_name["CallControl"], method, timeout,
                           fields)
