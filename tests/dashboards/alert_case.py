"""For each alert: numbers that fire it, numbers that must not, and when."""

import re
from dataclasses import dataclass

SCRAPED = 'cluster="east", namespace="web", job="web/pods", instance="a:8686"'
ONE = f'{SCRAPED}, service="shop"'
ORDERS = f'{ONE}, process="probe", projection="orders"'
WORKER = f'{ONE}, process="worker-1", projection="orders"'
POOL = f'{ONE}, process="app", db_client_connection_pool_name="shop"'
USED = f'{POOL}, db_client_connection_state="used"'
LABELS_SERVICE = {"cluster": "east", "namespace": "web", "service": "shop"}
LABELS_PROJECTION = LABELS_SERVICE | {"projection": "orders"}
LABELS_SUBSCRIBER = LABELS_PROJECTION | {"kind": "projection"}
LABELS_INSTANCE = LABELS_SERVICE | {"instance": "a:8686"}
LABELS_TARGET = LABELS_INSTANCE | {"job": "web/pods"}
LABELS_POOL = LABELS_INSTANCE | {"process": "app", "db_client_connection_pool_name": "shop"}

Series = dict[str, str]
"""Name and labels to values as promtool writes them; `{n}` stands for the minutes to go on."""


@dataclass(frozen=True, slots=True)
class AlertCase:
    """One alert's numbers.

    Attributes:
        fires: Series to values of the fault.
        cured: Values after the fault, by the same names; what is left out goes on.
        quiet: Series to values just short of the fault.
        labels: What the firing alert carries beside name and severity.
        before: Minute of the fault at which it does not fire yet; at `fires_at` it does.
        minutes: Length of the fault.
        resolves_after: Minutes from the cure until it no longer fires.
        when_stale: Whether it still fires some time after every series of the fault went stale.
    """

    fires: Series
    cured: Series
    quiet: Series
    labels: dict[str, str]
    before: int
    fires_at: int
    minutes: int = 40
    resolves_after: int = 20
    when_stale: bool = False


def status(word: str) -> str:
    return f'sidecar_projection_status{{{ORDERS}, status="{word}"}}'


def rebuild(word: str) -> str:
    return f'sidecar_projection_rebuild{{{ORDERS}, status="{word}"}}'


def check(name: str, word: str) -> str:
    return f'sidecar_check_status{{{ONE}, process="probe", check="{name}", status="{word}"}}'


def cause(word: str) -> str:
    return f'sidecar_cause{{{ONE}, process="probe", cause="{word}"}}'


def gauge(name: str, bad: str, good: str, labels: dict[str, str], wait: int) -> AlertCase:
    """Give the case of a gauge that has a bad value for `wait` minutes."""
    return AlertCase(
        {name: f"{bad}x{{n}}"},
        {name: f"{good}x{{n}}"},
        {name: f"{good}x{{n}}"},
        labels,
        before=wait - 1,
        fires_at=wait + 1,
    )


LAG = f"sidecar_projection_lag_seconds{{{ORDERS}}}"
EVENTS = f"sidecar_projection_lag_events{{{ORDERS}}}"
BEAT = f"sidecar_projection_heartbeat_timestamp_seconds{{{WORKER}}}"
PARKED = f'{WORKER}, error_type="KeyError", action="park"'
FAILED = f"sidecar_projection_failures_total{{{PARKED}}}"
RETRIED = FAILED.replace("park", "retry")
APPLIED = f"sidecar_projection_events_total{{{WORKER}}}"
HEAD = f'sidecar_store_head_position{{{ONE}, process="probe"}}'
UNSAFE = f'sidecar_store_unsafe{{{ONE}, process="probe"}}'
LOST = f'sidecar_store_lost_events{{{ONE}, process="probe"}}'
READY = f'sidecar_ready{{{ONE}, process="probe"}}'
DRAINING = f'sidecar_draining{{{ONE}, process="probe"}}'
UP = f"up{{{SCRAPED}}}"
BUILD = f'sidecar_build_info{{{ONE}, process="probe", version="1"}}'
SEEN_ONCE = "1 stale _x{n}"
MOST = f"db_client_connection_max{{{POOL}}}"
IN_USE = f"db_client_connection_count{{{USED}}}"
PENDING = f"db_client_connection_pending_requests{{{POOL}}}"
WAITS = "db_client_connection_wait_time_seconds_bucket{" + POOL + ', outcome="ok", le="%s"}'
FLAPS = (
    f'sidecar_check_transitions_total{{{ONE}, process="probe", check="postgres", status="fail"}}'
)
DROPPED = f'sidecar_telemetry_dropped_total{{{ONE}, process="app", signal="traces"}}'
FINDING = f'sidecar_config_findings{{{ONE}, process="probe", id="ENV04", severity="error"}}'
HANDLER = f'{ONE}, process="app", handler="send_receipt"'
HANDLED = f"sidecar_handler_events_total{{{HANDLER}}}"
HANDLER_FAILED = f'sidecar_handler_failures_total{{{HANDLER}, error_type="OSError"}}'
LOOP_LAG = f'sidecar_loop_lag_seconds{{{ONE}, process="app"}}'
STORE_CHECK = check("event-store", "pass")
RESTARTS = (
    f'sidecar_worker_restarts_total{{{ONE}, process="probe", worker="worker-1", reason="exited"}}'
)

CASES = {
    "SidecarProjectionFailing": AlertCase(
        {FAILED: "0 0 1+1x{n}"}, {FAILED: "50x{n}"}, {RETRIED: "0+1x{n}"}, LABELS_PROJECTION, 1, 5
    ),
    "SidecarProjectionHalted": gauge(status("failed"), "1", "0", LABELS_PROJECTION, 1),
    "SidecarRebuildHalted": gauge(rebuild("halted"), "1", "0", LABELS_PROJECTION, 1),
    "SidecarProjectionStalled": gauge(status("stalled"), "1", "0", LABELS_PROJECTION, 3),
    # The heartbeat stands still while time goes on.
    "SidecarProjectionLoopDead": AlertCase(
        {BEAT: "0x{n}", EVENTS: "0x{n}"},
        {BEAT: "2400+60x{n}", EVENTS: "0x{n}"},
        {BEAT: "0+60x{n}", EVENTS: "0x{n}"},
        LABELS_PROJECTION,
        3,
        6,
    ),
    "SidecarProjectionLagHigh": gauge(LAG, "31", "30", LABELS_PROJECTION, 10),
    "SidecarProjectionLagGrowing": AlertCase(
        {EVENTS: "0+50x{n}", LAG: "20x{n}"},
        {EVENTS: "0x{n}", LAG: "0x{n}"},
        {EVENTS: "0+50x{n}", LAG: "14x{n}"},
        LABELS_PROJECTION,
        29,
        33,
        minutes=60,
    ),
    "SidecarReadModelDrift": AlertCase(
        {
            f"sidecar_projection_drift_rows{{{ORDERS}}}": "0x{n}",
            f"sidecar_projection_lost_tables{{{ORDERS}}}": "0 1x{n}",
        },
        {
            f"sidecar_projection_drift_rows{{{ORDERS}}}": "0x{n}",
            f"sidecar_projection_lost_tables{{{ORDERS}}}": "0x{n}",
        },
        {f"sidecar_projection_lost_tables{{{ORDERS}}}": "0x{n}"},
        LABELS_PROJECTION,
        0,
        1,
    ),
    "SidecarDeadLettersDeleted": AlertCase(
        {f"sidecar_dead_letters_deleted{{{ORDERS}}}": "0 1x{n}"},
        {f"sidecar_dead_letters_deleted{{{ORDERS}}}": "0x{n}"},
        {f"sidecar_dead_letters_deleted{{{ORDERS}}}": "0x{n}"},
        LABELS_PROJECTION,
        0,
        1,
    ),
    "SidecarDeadLetters": gauge(
        f"sidecar_dead_letters{{{ORDERS}}}", "1", "0", LABELS_PROJECTION, 5
    ),
    "SidecarDeadLettersGrowing": AlertCase(
        {f"sidecar_dead_letters{{{ORDERS}}}": "0+2x{n}"},
        {f"sidecar_dead_letters{{{ORDERS}}}": "80x{n}"},
        {f"sidecar_dead_letters{{{ORDERS}}}": "0+1x{n}"},
        LABELS_PROJECTION,
        10,
        13,
    ),
    "SidecarProjectionPaused": AlertCase(
        {status("paused"): "1x{n}"},
        {status("paused"): "0x{n}"},
        {status("paused"): "0x{n}", status("stalled"): "1x{n}"},
        LABELS_PROJECTION,
        239,
        241,
        minutes=260,
        resolves_after=62,
    ),
    "SidecarHandlerFailing": AlertCase(
        {HANDLER_FAILED: "0 0 1 1 1 2x{n}"},
        {HANDLER_FAILED: "2x{n}"},
        {HANDLED: "0+1x{n}"},
        LABELS_SERVICE | {"handler": "send_receipt"},
        2,
        4,
        minutes=7,
    ),
    "SidecarStoreUnseen": AlertCase(
        {STORE_CHECK: "0x{n}"},
        {STORE_CHECK: "1x{n}", HEAD: "0x{n}"},
        {STORE_CHECK: "0x{n}", HEAD: "0x{n}"},
        LABELS_SERVICE,
        4,
        6,
    ),
    "SidecarStoreUnreachable": gauge(check("postgres", "pass"), "0", "1", LABELS_SERVICE, 1),
    "SidecarStoreReadOnly": gauge(cause("read-only"), "1", "0", LABELS_SERVICE, 1),
    "SidecarLoginRefused": gauge(check("postgres-login", "fail"), "1", "0", LABELS_SERVICE, 2),
    "SidecarStoreSlow": gauge(check("postgres", "warn"), "1", "0", LABELS_SERVICE, 5),
    "SidecarStoreHeld": gauge(
        f'sidecar_store_hold_duration_seconds{{{ONE}, process="probe"}}',
        "11",
        "9",
        LABELS_SERVICE,
        2,
    ),
    "SidecarStoreUnsafe": AlertCase(
        {UNSAFE: "0 0 1x{n}"}, {UNSAFE: "0x{n}"}, {UNSAFE: "0x{n}"}, LABELS_SERVICE, 1, 3
    ),
    "SidecarLogEndLost": AlertCase(
        {LOST: "0 30x{n}"}, {LOST: "0x{n}"}, {LOST: "0x{n}"}, LABELS_SERVICE, 0, 1
    ),
    "SidecarSlotInactive": gauge(
        f'sidecar_store_inactive_slots{{{ONE}, process="probe"}}', "1", "0", LABELS_SERVICE, 10
    ),
    "SidecarStoreIdle": AlertCase(
        {HEAD: "7x{n}"},
        {HEAD: "8+1x{n}"},
        {HEAD: "0+1x{n}"},
        LABELS_SERVICE,
        59,
        61,
        minutes=80,
        resolves_after=70,
    ),
    "SidecarPoolSaturated": AlertCase(
        {IN_USE: "19x{n}", MOST: "20x{n}", PENDING: "2x{n}"},
        {IN_USE: "19x{n}", MOST: "20x{n}", PENDING: "0x{n}"},
        {IN_USE: "18x{n}", MOST: "20x{n}", PENDING: "2x{n}"},
        LABELS_POOL,
        9,
        11,
    ),
    "SidecarPoolWaitHigh": AlertCase(
        {WAITS % "0.25": "0+9x{n}", WAITS % "0.5": "0+10x{n}", WAITS % "+Inf": "0+10x{n}"},
        {WAITS % "0.25": "0x{n}", WAITS % "0.5": "0x{n}", WAITS % "+Inf": "0x{n}"},
        {WAITS % "0.25": "0+10x{n}", WAITS % "0.5": "0+10x{n}", WAITS % "+Inf": "0+10x{n}"},
        LABELS_POOL,
        9,
        12,
    ),
    "SidecarPoolTimeouts": AlertCase(
        {f"db_client_connection_timeouts_total{{{POOL}}}": "0+1x{n}"},
        {f"db_client_connection_timeouts_total{{{POOL}}}": "40x{n}"},
        {f"db_client_connection_timeouts_total{{{POOL}}}": "5x{n}"},
        LABELS_POOL,
        2,
        4,
    ),
    "SidecarPoolLeaking": gauge(f"sidecar_pool_leaks{{{POOL}}}", "1", "0", LABELS_POOL, 10),
    "SidecarDown": AlertCase(
        {UP: "0x{n}", BUILD: SEEN_ONCE},
        {UP: "1x{n}", BUILD: "1x{n}"},
        {UP: "0x4 1x{n}", BUILD: "1x{n}"},
        LABELS_TARGET,
        4,
        6,
        when_stale=True,
    ),
    "SidecarTelemetryAbsent": AlertCase(
        {UP: "1x{n}", BUILD: SEEN_ONCE},
        {UP: "1x{n}", BUILD: "1x{n}"},
        {UP: "1x{n}", BUILD: "1x{n}"},
        LABELS_TARGET,
        10,
        12,
    ),
    "SidecarNotReady": AlertCase(
        {READY: "0x{n}", DRAINING: "0x{n}"},
        {READY: "1x{n}", DRAINING: "0x{n}"},
        {READY: "0x{n}", DRAINING: "1x{n}"},
        LABELS_INSTANCE,
        1,
        3,
    ),
    "SidecarDiskFull": gauge(check("disk", "fail"), "1", "0", LABELS_INSTANCE, 1),
    "SidecarApplicationDown": gauge(check("application", "fail"), "1", "0", LABELS_INSTANCE, 1),
    "SidecarCheckFlapping": AlertCase(
        {FLAPS: "0+1x{n}"},
        {FLAPS: "40x{n}"},
        {FLAPS: "0 1 2 3 4x{n}"},
        LABELS_INSTANCE | {"check": "postgres"},
        3,
        8,
        # Kept firing on purpose, so that a flapping check is not a flapping alert.
        resolves_after=35,
    ),
    "SidecarCheckFailing": gauge(
        check("migrations", "fail"), "1", "0", LABELS_INSTANCE | {"check": "migrations"}, 10
    ),
    "SidecarLoopLagHigh": AlertCase(
        {LOOP_LAG: "0.9x{n}"},
        {LOOP_LAG: "0.01x{n}"},
        {LOOP_LAG: "0.01 0.01 0.9 0.01 0.01 0.01 0.9 0.2x{n}"},
        LABELS_INSTANCE | {"process": "app"},
        9,
        11,
    ),
    "SidecarConfigInvalid": gauge(FINDING, "1", "0", LABELS_INSTANCE, 5),
    "SidecarWorkerRestarting": AlertCase(
        {RESTARTS: "0+1x{n}"},
        {RESTARTS: "40x{n}"},
        {RESTARTS: "0 1 2x{n}"},
        LABELS_INSTANCE | {"worker": "worker-1"},
        1,
        5,
        resolves_after=45,
    ),
    "SidecarTelemetryDropped": AlertCase(
        {DROPPED: "0+5x{n}"},
        {DROPPED: "200x{n}"},
        {DROPPED: "9x{n}"},
        LABELS_INSTANCE | {"signal": "traces"},
        9,
        13,
    ),
}


def during(case: AlertCase) -> Series:
    """Give the series while the fault lasts."""
    return {name: values.format(n=case.minutes) for name, values in case.fires.items()}


def count(values: str) -> int:
    """Tell how many samples promtool makes of the values."""
    return sum(
        int(found[1]) + 1 if (found := re.search(r"x(\d+)$", word)) else 1
        for word in values.split()
    )
