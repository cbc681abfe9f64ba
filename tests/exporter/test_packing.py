"""gzip in pieces, unpacked by others."""

from __future__ import annotations

import gzip
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtelemetry.exporter import packing
from jobtelemetry.exporter.packing import Piece, pack

PIECE = st.tuples(st.binary(max_size=20), st.integers(0, 500)).map(lambda found: Piece(found[0] * found[1]))


@given(st.lists(PIECE, max_size=8), st.randoms())
def test_pieces_in_any_order_are_one_member(pieces: list[Piece], chance: st.DataObject) -> None:
    """Whoever reads only the first gzip member of an answer has all of it, also when the pieces were used before."""
    for _ in range(2):
        whole = b"".join(piece.content for piece in pieces)
        reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        assert reader.decompress(pack(pieces)) == whole
        assert (reader.eof, reader.unused_data) == (True, b"")
        chance.shuffle(pieces)


def test_the_gzip_command_unpacks_it() -> None:
    """It is what the others call gzip."""
    pieces = [Piece(b"a" * 5000), Piece(b"small"), Piece(bytes(range(256)) * 20), Piece(b"")]
    unpacked = subprocess.run(["gzip", "-dc"], input=pack(pieces), capture_output=True, timeout=30, check=True)
    assert unpacked.stdout == b"".join(piece.content for piece in pieces)


def test_a_piece_is_packed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large is packed when it is first asked for; what is small is packed with the rest."""
    large, small, sizes, deflated = Piece(b"large" * 1000), Piece(b"small"), [], packing._deflated

    def noting(content: bytes, end: int) -> bytes:
        sizes.append(len(content))
        return deflated(content, end)

    monkeypatch.setattr(packing, "_deflated", noting)
    assert gzip.decompress(pack([small, large, small])) == gzip.decompress(pack([small, large, small]))
    assert sizes == [5, 5000, 5, 5, 5]
