"""The numbers of a pool travel once: in the exposition of its process, from which they are read."""

from dataclasses import dataclass

import pytest

from sidecar.telemetry.exposition import render_registry
from sidecar.telemetry.pool_metrics import (
    MAX_NAME_LENGTH,
    MAX_POOLS,
    PoolReport,
    observe_pool,
    read_pools,
)
from sidecar.telemetry.setup import Telemetry


@dataclass(frozen=True)
class Pool:
    name: str
    used: int = 18
    idle: int = 1
    max: int = 20
    pending: int = 4
    timeouts: int = 3
    leaks: int = 2
    closed: int = 9
    oldest_wait_seconds: float = 0.5


def expose(*pools: Pool) -> str:
    telemetry = Telemetry.start("shop", "app", version="1", environ={})
    for pool in pools:
        observe_pool(telemetry, pool)
    text = render_registry(telemetry.registry)
    telemetry.close()
    return text


@pytest.mark.parametrize("name", ["shop", 'a "b" \\ c\nd', "straße", "a,b}{ 1"])
def test_what_a_process_shows_of_its_pool_is_read_again(name: str) -> None:
    assert read_pools(expose(Pool(name))) == (PoolReport(name, 18, 1, 20, 4, 3, 2),)


def test_pools_are_told_apart_and_only_so_many_are_read() -> None:
    pools = [Pool(f"tenant-{number:02}", used=number) for number in range(MAX_POOLS + 5)]
    found = read_pools(expose(*pools, Pool("x" * (MAX_NAME_LENGTH + 1))))
    assert len(found) == MAX_POOLS
    assert {(each.name, each.used) for each in found} < {(pool.name, pool.used) for pool in pools}


def test_a_pool_of_an_agent_that_counts_no_leaks_has_none() -> None:
    text = "\n".join(line for line in expose(Pool("shop")).split("\n") if "leaks" not in line)
    assert read_pools(text) == (PoolReport("shop", 18, 1, 20, 4, 3),)


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("db_client_connection_max{", "db_client_connection_maximum{"),
        ("} 20.0", "} NaN"),
        ("} 20.0", "} twenty"),
        ('pool_name="shop"} 20.0', "pool_name=shop} 20.0"),
    ],
)
def test_a_pool_without_all_of_its_numbers_is_left_out(line: str, instead: str) -> None:
    text = expose(Pool("shop"))
    assert line in text
    assert read_pools(text.replace(line, instead)) == ()
