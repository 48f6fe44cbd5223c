"""Observability-first sidecar for event-sourced services on PostgreSQL."""

__version__ = "0.1.0"
