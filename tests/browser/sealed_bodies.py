# SPDX-License-Identifier: Apache-2.0
"""Opens the sealed bodies of calls, with secrets that a test took from a page of its own. It looks
into every field of every frame, also into those that a client would skip."""

import base64
import ctypes

from lab.protobuf import fields

_sodium = ctypes.CDLL("libsodium.so.23")
_sodium.sodium_init()
_SEAL = 48
SIZES = (512, 1024, 2048, 4096, 8192, 16384)


def values(data):
    """Every bytes value in a message, and in those, however deep."""
    try:
        found = fields(data)
    except ValueError:
        return  # it isn't a message
    for _, value in found:
        if isinstance(value, bytes):
            yield value
            yield from values(value)


def account_box_secret(device_link):
    """The X25519 secret of an account (docs/protocol.md, "Keys of an account")."""
    encoded = device_link.split("#d=")[1]
    state = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    secret = dict(fields(state))[4]
    seed = ctypes.create_string_buffer(32)
    _sodium.crypto_kdf_derive_from_key(
        seed, ctypes.c_size_t(32), ctypes.c_uint64(1), b"sottobox", secret)
    public, private = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
    _sodium.crypto_box_seed_keypair(public, private, seed)
    return private.raw


def open_body(sealed, secrets):
    """The plaintext, if one of the secret keys opens it."""
    for secret in secrets:
        public = public_key(secret)
        plain = ctypes.create_string_buffer(len(sealed) - _SEAL)
        if _sodium.crypto_box_seal_open(
                plain, sealed, ctypes.c_ulonglong(len(sealed)), public, secret) == 0:
            return plain.raw
    return None


def public_key(secret):
    public = ctypes.create_string_buffer(32)
    _sodium.crypto_scalarmult_base(public, secret)
    return public.raw


def secrets_among(random, publics):
    """The secret keys of these public keys, somewhere in the bytes that a page drew."""
    wanted, found = set(publics), []
    for at in range(len(random) - 31):
        if public_key(random[at:at + 32]) in wanted:
            found.append(random[at:at + 32])
    return found


def content_of(body):
    """The Offer, Answer or Candidates within a body's plaintext, as bytes."""
    size = int.from_bytes(body[:4], "big")
    return dict(fields(body[4:4 + size]))[1]
