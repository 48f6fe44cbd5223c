"""Codecs that services set, and some that none would."""

import json
from typing import Any


async def speak_json(connection: Any) -> None:
    """What asyncpg's documentation shows, and most services do."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )


async def speak_otherwise(connection: Any) -> None:
    """Values of the service's own making, refused where another kind of value is bound."""

    def only_text(value: object) -> str:
        assert isinstance(value, str)
        return value

    for name in ("uuid", "timestamptz", "numeric", "json", "text"):
        await connection.set_type_codec(
            name, encoder=only_text, decoder=lambda text: text, schema="pg_catalog"
        )


async def speak_json_in_binary(connection: Any) -> None:
    await connection.set_type_codec(
        "json",
        encoder=lambda value: json.dumps(value).encode(),
        decoder=lambda data: json.loads(bytes(data)),
        schema="pg_catalog",
        format="binary",
    )


async def speak_of_nothing_as_it_is(connection: Any) -> None:
    """Values that come out otherwise, of every type that a statement of the product takes."""
    for name in ("text", "varchar", "name", "int2", "int4", "int8", "bool", "float8", "uuid",
                 "bytea", "json", "jsonb", "timestamptz", "numeric", "oid", "char"):  # fmt: skip
        await connection.set_type_codec(
            name, encoder=lambda value: f"own {value}", decoder=list, schema="pg_catalog"
        )
