"""What servers of other major versions than the usual one lack."""

import os
from typing import Final

import pytest

from tests.postgres.cluster import DEFAULT_VERSION, VERSION_VARIABLE

VERSION: Final = os.environ.get(VERSION_VARIABLE) or DEFAULT_VERSION
"""The major version of the server that the tests run on."""

has_transaction_timeout: Final = pytest.mark.skipif(
    int(VERSION) < 17, reason="servers before 17 have no transaction_timeout"
)
TRANSACTION_TIMEOUT: Final = pytest.param("transaction_timeout", marks=has_transaction_timeout)
