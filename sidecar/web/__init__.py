"""Every HTTP route: probes, configuration report, metrics and the status page. Read-only."""
