"""Redis's memory over many executions; the command ``python -m tests.memory`` does the same with a hundred thousand."""

from __future__ import annotations

import pytest

from memory.growth import grow, problems


@pytest.mark.timeout(300)
def test_memory_is_flat() -> None:
    """Neither the memory nor any key grows with the number of executions, though half of them are cancelled."""
    assert problems(grow(executions=4_000, checkpoints=4)) == []
