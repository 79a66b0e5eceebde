"""Makes random event ids; a worker draws its randomness in blocks, because a system call for each id costs more than the id."""

from __future__ import annotations

import os
from collections.abc import Iterator

BLOCK = 256


def uuid4_texts() -> Iterator[str]:
    """An endless supply of version-4 UUIDs as text."""
    while True:
        block = os.urandom(16 * BLOCK).hex()
        for start in range(0, 32 * BLOCK, 32):
            h = block[start : start + 32]
            variant = "89ab"[int(h[16], 16) & 3]
            yield f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{variant}{h[17:20]}-{h[20:]}"
