"""What is to be handled: one event, a batch of them, or one that failed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from sidecar.events.record import RecordedEvent


# Made by the thousand, and in no cycle: following them would cost a tenth of catching up.
class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A record that is to be handled, with its event, or with the reason why there is none."""

    record: RecordedEvent
    event: object
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries to be applied in one transaction, if all goes well.

    Attributes:
        deliveries: Ascending by position; at least one.
        upto: Position up to which there is nothing else to be handled.
    """

    deliveries: Sequence[Delivery]
    upto: int

    @property
    def first_position(self) -> int:
        """The position of the first delivery."""
        return self.deliveries[0].record.position

    def split(self, size: int) -> Iterator["Batch"]:
        """Yield batches of at most `size`, in order; itself when it is no larger."""
        if len(self.deliveries) <= size:
            yield self
            return
        last = self.deliveries[-1]
        for start in range(0, len(self.deliveries), size):
            part = self.deliveries[start : start + size]
            yield Batch(part, self.upto if part[-1] is last else part[-1].record.position)

    def around(self, delivery: Delivery) -> tuple["Batch | None", "Batch", "Batch | None"]:
        """Return what comes before one of its deliveries, that one alone, and what comes after."""
        place = self.deliveries.index(delivery)
        position = delivery.record.position
        before, after = self.deliveries[:place], self.deliveries[place + 1 :]
        return (
            Batch(before, position - 1) if before else None,
            Batch([delivery], position if after else self.upto),
            Batch(after, self.upto) if after else None,
        )

    def condemn(self, delivery: Delivery, cause: Exception) -> "Batch":
        """Return the same with one delivery failed already, so that it is not tried."""
        failed = Delivery(delivery.record, None, cause)
        return Batch([failed if each is delivery else each for each in self.deliveries], self.upto)


class EventFailedError(Exception):
    """Carries one event's failure out of its savepoint; `cause` is what the handler raised."""

    def __init__(self, delivery: Delivery, cause: Exception) -> None:
        super().__init__(delivery.record.position)
        self.delivery = delivery
        self.cause = cause
