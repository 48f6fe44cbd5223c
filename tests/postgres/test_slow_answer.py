"""A server that answers late is told from one that answers soon."""

from sidecar.health.check_runner import CheckRunner
from sidecar.health.outcome import Outcome
from sidecar.postgres.samples.ping import Ping
from sidecar.wiring.checks.database import SLOW_SECONDS, postgres_check
from tests.postgres.cluster import Cluster
from tests.proxy import proxying


async def test_an_answer_that_takes_long_is_warned_of(cluster: Cluster) -> None:
    host, port = cluster.dsn(tcp=True).rpartition("@")[2].partition("/")[0].split(":")
    async with proxying(host, int(port)) as proxy:
        ping = Ping(
            f"postgresql://postgres@{host}:{proxy.port}/postgres", application_name="test check"
        )
        check = postgres_check(ping)
        await ping.ask()
        assert (await CheckRunner(check).ask()).outcome is Outcome.PASS

        proxy.delay_seconds = SLOW_SECONDS * 0.6
        slow = await CheckRunner(check).ask()
        assert (slow.outcome, slow.reason) == (Outcome.WARN, "postgres.slow")
        ping.close()
