"""The partition of a key, exactly as Kafka's own default partitioner computes it, so that clients of all languages agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import unpack, unpack_from

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C


@lru_cache(maxsize=16_384)
def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2 hash, unsigned. Cached, because an aggregate's key comes with each of its records."""
    length = len(data)
    words = length >> 2
    h = _SEED ^ length
    for k in unpack_from(f"<{words}I", data):
        k = (k * _M) & _MASK
        h = ((h * _M) ^ ((k ^ (k >> 24)) * _M)) & _MASK
    if length & 3:
        h = ((h ^ int.from_bytes(data[words << 2 :], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key on a topic of that many partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


# From so many keys of one length on, all at once costs less than one by one.
_MANY = 8


def partitions_for(keys: Sequence[bytes], partitions: int) -> list[int]:
    """The partitions of many keys, at an eighth of the cost of one after the other."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        by_length[len(key)].append(place)
    found = [0] * len(keys)
    for length, places in by_length.items():
        if len(places) < _MANY:
            hashes: Iterable[int] = (murmur2(keys[place]) for place in places)
        else:
            hashes = _murmur2_of_many([keys[place] for place in places], length)
        for place, value in zip(places, hashes, strict=True):
            found[place] = (value & 0x7FFFFFFF) % partitions
    return found


def _murmur2_of_many(keys: Sequence[bytes], length: int) -> tuple[int, ...]:
    """`murmur2` of keys of one length, in one long integer that has a lane of 64 bits for each key.

    A lane holds 32 bits between two steps, and the product of two of those while it is multiplied, so no lane reaches into the next.
    """
    count, data = len(keys), b"".join(keys)
    ones = int.from_bytes(b"\x01\0\0\0\0\0\0\0" * count, "little")
    mask = ones * _MASK

    def lanes(start: int, width: int) -> int:
        filled = bytearray(8 * count)
        for byte in range(width):
            filled[byte::8] = data[start + byte :: length]
        return int.from_bytes(filled, "little")

    h = ones * (_SEED ^ length)
    for start in range(0, length - 3, 4):
        k = (lanes(start, 4) * _M) & mask
        h = ((h * _M) ^ ((k ^ ((k >> 24) & mask)) * _M)) & mask
    if length & 3:
        h = ((h ^ lanes(length & ~3, length & 3)) * _M) & mask
    h = ((h ^ ((h >> 13) & mask)) * _M) & mask
    h ^= (h >> 15) & mask
    return unpack(f"<{count}Q", h.to_bytes(8 * count, "little"))
