# SPDX-License-Identifier: Apache-2.0
"""Certificates and keys on P-256, made with openssl.

    make_authority(folder, "server", "operator")        # ca.crt, ca.key, server.crt, ...
    make_certificate(folder / "cert.pem", folder / "key.pem", "localhost", ["DNS:localhost"])
"""

from .processes import run


def openssl(*args, **kwargs):
    """Runs openssl; returns what it prints."""
    return run(["openssl", *args], **kwargs).stdout


def make_key(path, algorithm="EC", option="ec_paramgen_curve:P-256"):
    """Makes a private key, which its owner alone can read."""
    openssl("genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", path)


def public_key(private):
    """Returns the public key of a private one, in PEM."""
    return openssl("pkey", "-in", private, "-pubout")


def make_certificate(certificate, key, name, alternatives=(), *, issuer=None, days=30):
    """Makes a certificate of that common name, and its key. `alternatives`: its other names, as
    openssl writes them ("IP:127.0.0.1"). `issuer`: the authority's certificate and key; without one
    the certificate signs itself."""
    extensions = []
    if alternatives:
        extensions += ["-addext", f"subjectAltName={','.join(alternatives)}"]
    if issuer:
        extensions += ["-addext", "basicConstraints=critical,CA:false", "-CA", issuer[0],
                       "-CAkey", issuer[1]]
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", days, "-subj", f"/CN={name}", "-keyout", key, "-out", certificate, *extensions)


def make_authority(folder, *names, alternatives=("IP:127.0.0.1",), prefix="", days=30):
    """Makes an authority, as ca.crt and ca.key, and certificates of it, each as NAME.crt and
    NAME.key. Each file's name begins with `prefix`, which tells authorities apart."""
    def files(name):
        return folder / f"{prefix}{name}.crt", folder / f"{prefix}{name}.key"

    make_certificate(*files("ca"), "Sotto lab CA", days=days)
    for name in names:
        make_certificate(*files(name), name, alternatives, issuer=files("ca"), days=days)
