"""Nothing lost, nothing twice: the read models of the shop held against its events."""

from typing import Final

from tests.incidents.drills.stand import Stand

# A person who discards a dead letter gives that event up; the read model is right without it.
_TAKEN: Final = """
WITH taken AS MATERIALIZED (
    SELECT e.type, e.data FROM sidecar.events e
    WHERE NOT EXISTS (
        SELECT FROM sidecar.dead_letters d
        WHERE d.position = e.position AND d.projection = $1 AND d.resolution = 'discarded'
    )
), placed AS MATERIALIZED (
    SELECT data ->> 'order_id' AS order_id, data ->> 'customer' AS customer,
        data ->> 'country' AS country, (data ->> 'cents')::bigint AS cents
    FROM taken WHERE type = 'OrderPlaced'
), shipped AS MATERIALIZED (
    SELECT data ->> 'order_id' AS order_id FROM taken WHERE type = 'OrderShipped'
)
"""
_TRUTHS: Final = {
    "order_totals": (
        "SELECT customer, count(*), sum(cents)::bigint FROM placed GROUP BY customer",
        "SELECT customer, orders, cents FROM order_totals",
    ),
    "country_revenue": (
        "SELECT country, sum(cents)::bigint FROM placed GROUP BY country",
        "SELECT country, cents FROM country_revenue",
    ),
    "shipping_labels": (
        "SELECT order_id, country, order_id IN (SELECT order_id FROM shipped) FROM placed",
        "SELECT order_id, country, shipped FROM shipping_labels",
    ),
}


async def differences(stand: Stand) -> list[str]:
    """Return every row that is missing from a read model, and every one too many."""
    found = []
    for projection, (truth, model) in _TRUTHS.items():
        for word, one, other in (("lost", truth, model), ("wrong", model, truth)):
            rows = await stand.run(f"{_TAKEN} ({one}) EXCEPT ALL ({other})", projection)
            found += [f"{projection} {word}: {tuple(row)}" for row in rows]
    return found
