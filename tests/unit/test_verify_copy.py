"""How much of its time a verification works."""

import pytest

from sidecar.projections.verify_copy import rest_seconds


@pytest.mark.parametrize(
    ("busy_seconds", "share", "expected"),
    [(2.0, None, 0.0), (2.0, 1.0, 0.0), (2.0, 0.5, 2.0), (1.0, 0.1, 9.0)],
)
def test_it_rests_for_the_rest_of_its_share(
    busy_seconds: float, share: float | None, expected: float
) -> None:
    assert rest_seconds(busy_seconds, share) == pytest.approx(expected)
