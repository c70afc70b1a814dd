"""Operations that a test registers are gone after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from daas.augment import space


@pytest.fixture
def own_operations() -> Iterator[None]:
    """Takes back what the test registers."""
    count = len(space.known())
    yield
    for row in space.known()[count:]:
        del space.INDEX[row.name]
    for rows in (space._all, *space._forms.values()):
        del rows[count:]  # type: ignore[attr-defined]  # lists
    space._refresh()
