import json
import subprocess
import sys

HEAVY = ("aiohttp", "asyncpg", "opentelemetry", "prometheus_client", "grpc", "requests", "uvloop")
PROGRAM = """
import json, logging, signal, sys, threading
before = signal.getsignal(signal.SIGTERM)
import sidecar
print(json.dumps({
    "modules": sorted(sys.modules),
    "names": sidecar.__all__,
    "threads": threading.active_count(),
    "handlers": len(logging.getLogger().handlers),
    "signal": signal.getsignal(signal.SIGTERM) is before,
}))
"""


def test_import_sidecar_loads_no_library_and_does_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    [line] = done.stdout.splitlines()
    told = json.loads(line)
    loaded = {name.partition(".")[0] for name in told["modules"]}
    assert loaded.isdisjoint(HEAVY)
    assert len(told["names"]) <= 15
    assert (told["threads"], told["handlers"], told["signal"]) == (1, 0, True)


def test_tests_of_a_service_load_neither_driver_nor_server_nor_exporter() -> None:
    program = "import sys\nimport sidecar.testing\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], check=True, capture_output=True, text=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "msgspec" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_every_public_name_can_be_had() -> None:
    program = "import sidecar\nfor name in sidecar.__all__: getattr(sidecar, name)"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_a_command_looks_for_garbage_in_what_it_makes_alone() -> None:
    program = (
        "import gc, sys\n"
        "from contextlib import suppress\n"
        "from sidecar.__main__ import main\n"
        "sys.argv = ['sidecar', '--version']\n"
        "with suppress(SystemExit):\n"
        "    main()\n"
        "print(gc.isenabled(), len(gc.get_objects()) < gc.get_freeze_count())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.endswith("True True\n")
