"""Check names, in kebab case, for things that people named otherwise."""

from collections.abc import Iterable


def name_checks(prefix: str, names: Iterable[str]) -> dict[str, str]:
    """Return a check name for each name, in kebab case and without a clash."""
    named: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        base = f"{prefix}-{kebab_case(name)}"
        check_name, number = base, 1
        while check_name in taken:
            number += 1
            check_name = f"{base}-{number}"
        named[name] = check_name
        taken.add(check_name)
    return named


def kebab_case(name: str) -> str:
    """Turn `OrderTotals` and `order_totals` alike into `order-totals`."""
    spaced = "".join(
        f"-{letter}" if letter.isupper() and before.islower() else letter
        for before, letter in zip(f" {name}", name, strict=False)
    )
    words = "".join(c if c.isascii() and c.isalnum() else "-" for c in spaced.lower()).split("-")
    return "-".join(word for word in words if word) or "unnamed"
