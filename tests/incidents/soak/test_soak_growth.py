"""The fit that judges a soak, against what is known."""

from tests.incidents.soak.growth import Growth, Resource, Sample, fit, warm_up_seconds

LEAK_PER_HOUR = 12.0


def growth_of(resource: Resource, per_second: float, seconds: int = 600) -> Growth:
    samples = [
        Sample(at, "probe", dict.fromkeys(Resource, 50.0) | {resource: 50.0 + at * per_second})
        for at in map(float, range(seconds))
    ]
    return next(one for one in fit(samples, warm_up_seconds(seconds)) if one.resource is resource)


def test_a_leak_of_memory_is_told_by_the_hour() -> None:
    growth = growth_of(Resource.MEMORY, LEAK_PER_HOUR / 3600)
    assert round(growth.per_hour, 6) == LEAK_PER_HOUR
    assert growth.last > growth.first
    assert not growth.holds


def test_memory_is_not_judged_by_a_moment() -> None:
    assert growth_of(Resource.MEMORY, 1.0, seconds=20).holds


def test_a_descriptor_lost_every_minute_does_not_hold() -> None:
    assert not growth_of(Resource.DESCRIPTORS, 1 / 60).holds


def test_what_stays_the_same_holds() -> None:
    assert all(growth_of(resource, 0.0).holds for resource in Resource)
