# SPDX-License-Identifier: Apache-2.0
"""The least that sotto-relayd needs to be told, to vary from."""

CONFIG = """\
[dataplane]
eal_args = ["--no-pci", "--vdev={vdev}"]
workers = {workers}
max_allocations = 1000
[[interface]]
port = "{port}"
addresses = ["192.0.2.10/24", "2001:db8::10/64"]
[turn]
realm = "example.org"
listen = ["192.0.2.10:3478"]
relay_addresses = ["192.0.2.10"]
[turn.auth]
users = {{ demo = "a-long-secret" }}
"""


def config(vdev, workers=1):
    """`vdev`: what DPDK is to make as the port, as --vdev has it."""
    return CONFIG.format(vdev=vdev, workers=workers, port=vdev.split(",")[0])
