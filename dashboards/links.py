"""Where the links of alerts and panels lead; what is shipped leaves that open."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_RUNBOOKS: Final = "dashboards/runbooks/"
_IN_RULES: Final = (f"runbook_url: {_RUNBOOKS}", "dashboard_url: d/")
_IN_BOARDS: Final = f"Runbook: {_RUNBOOKS}"


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses that end with a slash.

    A webhook, unlike a mail, is sent annotations as they are: only an absolute link in the rule
    itself can be followed there.

    Attributes:
        runbooks: What stands before `SidecarDown.md`.
        grafana: What stands before `d/sidecar`; empty for a path within Grafana.
    """

    runbooks: str = _RUNBOOKS
    grafana: str = ""

    def in_rules(self, rules: str) -> str:
        """Put them into the annotations of rules as shipped."""
        runbook, dashboard = _IN_RULES
        linked = rules.replace(runbook, f"runbook_url: {self.runbooks}")
        return linked.replace(dashboard, f"dashboard_url: {self.grafana}d/")

    def in_board(self, board: str) -> str:
        """Put them into the descriptions of a board's panels; its own links are Grafana's."""
        return board.replace(_IN_BOARDS, f"Runbook: {self.runbooks}")


def read_address(text: str) -> str:
    """Take an address as a person gives it, with or without the slash at its end.

    Raises:
        ValueError: It is no address of a web server, or would not survive in a rule.
    """
    parts = urlsplit(text)
    is_plain = text.isprintable() and not set(text) & set(" \"'`{}\\#?")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_plain:
        raise ValueError(f"{text!r} is no address such as https://git.example.com/runbooks")
    return text.rstrip("/") + "/"
