"""From where on a number is bad: for panels, alerts and, where both judge, health checks.

`make dashboards` fills them into the rules, which name them. The health checks cannot import them,
for they ship without the dashboards; a test holds those against this table.
"""

from typing import Final

LAG_SECONDS: Final = 30.0
"""As `SIDECAR_LAG_LIMIT_SECONDS` is by default."""

LAG_GROWING_SECONDS: Final = 15.0
"""Half of the lag limit: below it, growth needs no attention."""

STALL_SECONDS: Final = 30.0
"""Behind and not moved for as long: `stalled`, judged by the sidecar."""

HELD_SECONDS: Final = 10.0
STORE_SLOW_SECONDS: Final = 0.25
"""An answer of PostgreSQL that takes longer; judged by the sidecar."""

LOOP_SILENCE_SECONDS: Final = 60.0
LETTERS_GROWTH: Final = 20
POOL_USED_RATIO: Final = 0.9
POOL_USED_SOON_RATIO: Final = 0.8
POOL_WAIT_SECONDS: Final = 0.25
POOL_WAIT_SOON_SECONDS: Final = 0.1
WORKER_RESTARTS: Final = 3
WORKER_RESTARTS_SLOW: Final = 5
CHECK_FAILURES: Final = 4
LOOP_LAG_SECONDS: Final = 5.0
LOOP_LAG_HIGH_SECONDS: Final = 0.25

PUBLISH_BUDGET_RATIO: Final = 0.001
"""Deliveries to handlers and projections that may fail: an objective of 99.9 %."""

FRESHNESS_BUDGET_RATIO: Final = 0.01
"""Share of time in which a projection may be late: an objective of 99 %."""

BUDGET_SPENT_SOON_RATIO: Final = 0.75
"""Of the budget of 30 days; what is left goes with one bad hour."""

BURN_FACTORS: Final = {("5m", "1h"): 14.4, ("30m", "6h"): 6.0, ("2h", "1d"): 3.0, ("6h", "3d"): 1.0}
"""Short and long window to burn rate, for a budget of 30 days: 2, 5, 10 and 10 % of it are spent.

Source: https://sre.google/workbook/alerting-on-slos/, as in sloth's google-30d windows.
"""

TRAFFIC_EVENTS: Final = 100
"""Within an hour; with less, one failure at night would burn the budget of a month."""
