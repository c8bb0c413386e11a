# SPDX-License-Identifier: Apache-2.0
"""Where things are, and what the environment says about them.

SOTTO_BIN is the folder with the binaries; build/dev/bin unless told. SOTTO_SANITIZED is set where
they are built with a sanitizer, and therefore slow.
"""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SOTTO_BIN") or ROOT / "build/dev/bin")
EXAMPLES = ROOT / "deploy/examples"
SANITIZED = bool(os.environ.get("SOTTO_SANITIZED"))
