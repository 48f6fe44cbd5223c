"""One table, one projection: who else declares what a projection fills. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TableClaim:
    """The tables that one projection declares.

    Attributes:
        tables: How it names each table, by what the name stands for in the database.
        twice: Two names of its own for one table.
        has_run: Whether it has been moved ever, and so may have filled them.
        is_alive: Whether it is run now, or is about to be.
    """

    projection: str
    tables: dict[object, str]
    has_run: bool = False
    is_alive: bool = False
    twice: dict[str, str] = field(default_factory=dict)

    def add(self, place: object, name: str) -> None:
        """Add a table by its name, which stands for a place in the database."""
        if (known := self.tables.setdefault(place, name)) != name:
            self.twice[min(known, name)] = max(known, name)


def find_sharers(own: TableClaim, others: Iterable[TableClaim]) -> dict[str, str]:
    """Return who else declares a table of a projection: the table, by the other's name."""
    return {
        other.projection: own.tables[shared]
        for other in others
        if other.projection != own.projection
        for shared in [key for key in own.tables if key in other.tables][:1]
    }


def find_rivals(own: TableClaim, others: Iterable[TableClaim]) -> dict[str, str]:
    """Return those of them who keep a projection from running.

    One that has filled its tables alone goes on: a newcomer has not touched them yet, and what
    nobody runs any more does not touch them again.
    """
    return find_sharers(
        own, (other for other in others if not own.has_run or (other.has_run and other.is_alive))
    )


def describe_rivals(projection: str, rivals: Mapping[str, str], left: Collection[str] = ()) -> str:
    """Say who else declares its tables, and what to do.

    Args:
        projection: The one that does not run for it.
        rivals: The table that each of them declares, by name.
        left: Those of them that filled it and that nobody runs any more.
    """
    told = "; ".join(
        f"{projection} and {name} both declare the table {table}" for name, table in rivals.items()
    )
    renamed = "".join(
        f" Renamed? `sidecar projections accept {projection} --renamed-from {name} --reason TEXT` "
        f"goes on from where {name} stood."
        for name in rivals
        if name in left
    )
    names = " or ".join(f"`sidecar projections remove {name}`" for name in rivals)
    return (
        f"{told}: a rebuild of one would wipe what the other keeps there.{renamed} Give each a "
        "table of its own, let one projection fill it, or add both as one `ProjectionGroup`, and "
        f"start the workers again; what is gone for good is forgotten with {names}."
    )
