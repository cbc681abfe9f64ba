"""gzip of an answer that is mostly what the last one was. Pure.

A piece that is kept is packed once: as deflate blocks that end at a byte and refer to nothing before them, so that
pieces can be put together in any order. The whole is one ordinary gzip member.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

#: Of gzip: half the time of its default, for a tenth more bytes.
LEVEL = 5
_LEAST = 2048  # bytes of a piece; smaller ones are packed together
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no name, no time, made anywhere


class Piece:
    """Some bytes, and the same packed, from when that is asked for."""

    __slots__ = ("_packed", "content")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._packed: bytes | None = None

    @property
    def is_worth_keeping(self) -> bool:
        """Whether it is large enough to be packed by itself."""
        return len(self.content) >= _LEAST

    @property
    def packed(self) -> bytes:
        """Deflate blocks that can stand anywhere."""
        if self._packed is None:
            self._packed = _deflated(self.content, zlib.Z_FULL_FLUSH)
        return self._packed


def pack(pieces: Iterable[Piece]) -> bytes:
    """The pieces as one gzip member."""
    pieces = tuple(pieces)
    check = 0
    for piece in pieces:
        check = zlib.crc32(piece.content, check)
    size = sum(len(piece.content) for piece in pieces) & 0xFFFF_FFFF
    return b"".join((_HEADER, *_blocks(pieces), struct.pack("<II", check, size)))


def _blocks(pieces: Iterable[Piece]) -> Iterator[bytes]:
    small: list[bytes] = []
    for piece in pieces:
        if not piece.is_worth_keeping:
            small.append(piece.content)
            continue
        if small:
            yield _deflated(b"".join(small), zlib.Z_FULL_FLUSH)
            small.clear()
        yield piece.packed
    yield _deflated(b"".join(small), zlib.Z_FINISH)


def _deflated(content: bytes, end: int) -> bytes:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush(end)
