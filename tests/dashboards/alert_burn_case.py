"""The cases of the alerts about error budgets; their windows are long."""

from tests.dashboards.alert_case import (
    APPLIED,
    FAILED,
    HEAD,
    LABELS_PROJECTION,
    LABELS_SUBSCRIBER,
    LAG,
    AlertCase,
)

BURNING = {APPLIED: "0+100x{n}", FAILED: "0+10x{n}"}
SLOW = {APPLIED: "0+1000x{n}", FAILED: "0+5x{n}"}
LATE = {LAG: "90x{n}", HEAD: "0+10x{n}"}

BURN_CASES = {
    "SidecarPublishBudgetBurn": AlertCase(
        BURNING,
        {APPLIED: "4000+1000x{n}", FAILED: "400x{n}"},
        {APPLIED: "0+1x{n}", FAILED: "0+0.5x{n}"},
        LABELS_SUBSCRIBER,
        1,
        6,
        resolves_after=11,
    ),
    "SidecarPublishBudgetBurnSlow": AlertCase(
        SLOW,
        {APPLIED: "200000+1000x{n}", FAILED: "1000x{n}"},
        {APPLIED: "0+10000x{n}", FAILED: "0+5x{n}"},
        LABELS_SUBSCRIBER,
        59,
        63,
        minutes=200,
        resolves_after=400,
    ),
    "SidecarFreshnessBudgetBurn": AlertCase(
        LATE,
        {LAG: "0x{n}", HEAD: "400+10x{n}"},
        {LAG: "90x{n}", HEAD: "0+1x{n}"},
        LABELS_PROJECTION,
        1,
        18,
        resolves_after=11,
    ),
    "SidecarFreshnessBudgetBurnSlow": AlertCase(
        {LAG: "90 0x9 " * 8 + "90x{n}", HEAD: "0+10x200"},
        {LAG: "0x{n}", HEAD: "2000+10x{n}"},
        {LAG: "90x{n}", HEAD: "0+1x{n}"},
        LABELS_PROJECTION,
        59,
        75,
        minutes=100,
        resolves_after=400,
    ),
}
