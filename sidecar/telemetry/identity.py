"""Who speaks: the resource and the scope that every span and metric is sent with."""

import os
import platform
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.resources import Resource

from sidecar.telemetry.otel_variable import read_pairs

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
SCOPE: Final = "sidecar"


@dataclass(frozen=True, slots=True)
class Identity:
    """The service, and which of its processes (`probe`, `worker-1`, `app`)."""

    service_name: str
    process_name: str
    version: str

    @classmethod
    def find(
        cls, service_name: str, process_name: str, version: str, environ: Mapping[str, str]
    ) -> "Identity":
        """Return who speaks; `OTEL_SERVICE_NAME` goes before `OTEL_RESOURCE_ATTRIBUTES`."""
        given = read_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", "")).get("service.name", "")
        named = environ.get("OTEL_SERVICE_NAME", "").strip() or given or service_name
        return cls(named, process_name, version)

    @staticmethod
    def find_release(environ: Mapping[str, str]) -> str:
        """Return the service's own version, `service.version`; empty where none is given."""
        return read_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", "")).get("service.version", "")

    def resource(self, environ: Mapping[str, str]) -> Resource:
        """Return it as OpenTelemetry wants it; `OTEL_RESOURCE_ATTRIBUTES` has the last word.

        The command line is left out: its arguments may hold secrets. Detectors named in
        `OTEL_EXPERIMENTAL_RESOURCE_DETECTORS` are asked by the SDK.
        """
        attributes: dict[str, str | int] = {
            "service.name": self.service_name,
            "service.version": self.version,
            "service.instance.id": str(uuid.uuid4()),
            "host.name": socket.gethostname(),
            "process.pid": os.getpid(),
            "process.runtime.name": platform.python_implementation().lower(),
            "process.runtime.version": platform.python_version(),
            "sidecar.process": self.process_name,
        }
        given = read_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
        return Resource.create(attributes).merge(
            Resource({**given, "service.name": self.service_name})
        )
