import resource

import pytest

from sidecar.process.descriptors import ENOUGH, raised, share

ENDLESS = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (256, ENDLESS, ENOUGH),
        (1024, 4096, 4096),
        (1024, 1_048_576, ENOUGH),
        (64, 64, 64),
        (200_000, 1_048_576, 200_000),
        (ENDLESS, ENDLESS, ENDLESS),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_and_never_lowered(
    soft: int, hard: int, expected: int
) -> None:
    assert raised(soft, hard) == expected


@pytest.mark.parametrize(("limit", "expected"), [(64, 32), (1, 1), (1024, 512), (65_536, 512)])
def test_clients_leave_room_for_what_else_is_open(limit: int, expected: int) -> None:
    assert share(limit, 512) == expected
