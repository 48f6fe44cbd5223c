"""The PromQL that many panels share; every selector follows the dashboard's variables."""

from collections.abc import Sequence

from dashboards.panel import State

WINDOW = "$__rate_interval"


def series(metric: str, *matchers: str) -> str:
    """Select the metric for the chosen jobs and instances."""
    chosen = ('job=~"$job"', 'instance=~"$instance"', *matchers)
    return f"{metric}{{{', '.join(chosen)}}}"


def of_projection(metric: str, *matchers: str) -> str:
    """Select the metric for the chosen projections, too."""
    return series(metric, 'projection=~"$projection"', *matchers)


def of_pool(metric: str, *matchers: str) -> str:
    """Select the metric for the chosen pools, too."""
    return series(metric, 'db_client_connection_pool_name=~"$pool"', *matchers)


def recorded(metric: str, *matchers: str) -> str:
    """Select what a rule recorded for whole jobs, or `ALERTS`: neither needs an instance."""
    chosen = ('job=~"$job"', *matchers)
    return f"{metric}{{{', '.join(chosen)}}}"


def highest(selector: str, *by: str) -> str:
    """Fold what several processes or replicas report about one and the same thing."""
    return f"max by ({', '.join(by)}) ({selector})"


def per_second(counter: str, *by: str) -> str:
    """Sum the counter's rate."""
    return f"sum by ({', '.join(by)}) (rate({counter}[{WINDOW}]))"


def rises(counter: str, *by: str) -> str:
    """Sum how far the counter rose in each step of the graph."""
    return f"sum by ({', '.join(by)}) (increase({counter}[{WINDOW}]))"


def quantile(share: float, buckets: str, *by: str) -> str:
    """Estimate the quantile of a histogram, given the selector of its `_bucket` series."""
    return f"histogram_quantile({share}, {per_second(buckets, 'le', *by)})"


def coded(metric: str, states: Sequence[State], *matchers: str, by: Sequence[str]) -> str:
    """Turn a metric with one 0/1 series for each `status` into one series of the states' codes."""
    one_hot = ((state, series(metric, *matchers, f'status="{state.word}"')) for state in states)
    return highest(" or ".join(f"{state.code} * {one}" for state, one in one_hot), *by)
