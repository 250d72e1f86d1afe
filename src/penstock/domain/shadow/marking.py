"""What joins a request and its copy: a mark that the route sets on both, and the same choice of both by their id."""

from __future__ import annotations

from zlib import crc32

HEADER = "x-penstock-shadow"
"""Names the revision that gets copies. The route sets it on every request of a rule that copies, so that it stands on
the original and on the copy, and removes it elsewhere: no client can call its own request a copy."""

MOST_LEVELS = 20
# So that the choice has nothing to do with another use of the same ids.
_KEY = crc32(b"penstock.dev/shadow/1")


def chance_of(identifier: bytes) -> int:
    """Return 32 bits that are as good as random, the same for the same id everywhere."""
    return crc32(identifier, _KEY)


def is_chosen(chance: int, level: int) -> bool:
    """Whether an id is one of those kept at a level: one of 2 ** level. What a level keeps, every lower one keeps."""
    return not chance & ((1 << level) - 1)


def row_of(chance: int, rows: int) -> int:
    """Return which row of a request is looked at: only one, since rows of one request are not independent.

    It is told by the bits that no level looks at, so of a very long request it is one of 4096 rows spread over it.
    """
    return (chance >> MOST_LEVELS) * rows >> (32 - MOST_LEVELS)
