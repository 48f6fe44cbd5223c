"""The PromQL that many panels share; every selector follows the dashboard's variables."""

from collections.abc import Sequence
from typing import Final

from dashboards.panel import State

SERVICE: Final = ("cluster", "namespace", "service")
"""The labels that identify a service; no aggregation goes without."""

WINDOW: Final = "$__rate_interval"
_CHOSEN: Final = tuple(f'{label}=~"${label}"' for label in SERVICE)
_TARGET: Final = "cluster, namespace, job, instance"


def series(metric: str, *matchers: str) -> str:
    """Select the metric for the chosen services and instances."""
    return recorded(metric, 'job=~"$job"', 'instance=~"$instance"', *matchers)


def of_projection(metric: str, *matchers: str) -> str:
    """Select the metric for the chosen projections, too."""
    return series(metric, 'projection=~"$projection"', *matchers)


def of_pool(metric: str, *matchers: str) -> str:
    """Select the metric for the chosen pools, too."""
    return series(metric, 'db_client_connection_pool_name=~"$pool"', *matchers)


def of_target(metric: str) -> str:
    """Select what Prometheus records of those targets that are sidecars, with their service."""
    known = recorded("service_job_instance:sidecar_build_info:known")
    selected = f'{metric}{{job=~"$job", instance=~"$instance"}}'
    return f"{known} * on ({_TARGET}) group_left () max by ({_TARGET}) ({selected})"


def recorded(metric: str, *matchers: str) -> str:
    """Select what a rule recorded for whole services, or `ALERTS`: neither needs an instance."""
    return f"{metric}{{{', '.join((*_CHOSEN, *matchers))}}}"


def fold(function: str, expr: str, *by: str) -> str:
    """Aggregate what belongs together; the series of two services never do."""
    return f"{function} by ({', '.join((*SERVICE, *by))}) ({expr})"


def highest(selector: str, *by: str) -> str:
    """Fold what several processes or replicas report about one and the same thing."""
    return fold("max", selector, *by)


def per_second(counter: str, *by: str) -> str:
    """Sum the counter's rate."""
    return fold("sum", f"rate({counter}[{WINDOW}])", *by)


def rises(counter: str, *by: str) -> str:
    """Sum how far the counter rose in each step of the graph."""
    return fold("sum", f"increase({counter}[{WINDOW}])", *by)


def quantile(share: float, buckets: str, *by: str) -> str:
    """Estimate the quantile of a histogram, given the selector of its `_bucket` series."""
    return f"histogram_quantile({share}, {per_second(buckets, 'le', *by)})"


def coded(metric: str, states: Sequence[State], *matchers: str, by: Sequence[str]) -> str:
    """Turn a metric with one 0/1 series for each `status` into one series of the states' codes."""
    one_hot = ((state, series(metric, *matchers, f'status="{state.word}"')) for state in states)
    return highest(" or ".join(f"{state.code} * {one}" for state, one in one_hot), *by)
