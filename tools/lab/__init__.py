# SPDX-License-Identifier: Apache-2.0
"""The lab: lays networks of namespaces, and starts daemons, clients and certificates in them, for
tests, benchmarks and the quickstart. A program outside puts the folder above this one on sys.path.

    network       Lab and Host: namespaces around a router                 (read this first)
    processes     programs, run to their end or beside the lab
    daemons       Sotto's own, which say when they are ready
    relays        sotto-relayd, and coturn beside it
    signalds      sotto-signald in a lab; loopback: sotto-signald without one
    certificates  authorities, certificates, keys
    phones        sotto-phone; loadgen: sotto-loadgen; turn: a small TURN client of its own
    device        a device of signaling, frame by frame, over websocket and protobuf
    capture       what a host sent and received; packets: made byte by byte
    prometheus    what a Prometheus sees of a daemon
    test_case     LabTest, for tests that share a lab
"""
