"""What in an environment must not be seen, declared or not."""

import re
from collections.abc import Collection, Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from sidecar.config.environ import Environ
from sidecar.config.project_rules import ProjectRules
from sidecar.config.secret import Secret
from sidecar.config.text import tidy
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_path, is_secret_name, is_secret_value, is_switch

# Any log says `true`, `postgres` and 5432: masked, half of it could not be read.
_COMMON = re.compile(r".{0,5}|[a-z]{1,8}|[A-Z]{1,8}|[A-Z][a-z]{1,7}|[0-9]{1,8}", re.DOTALL)
# Up to the last @: a password may hold an unescaped @ or /.
_IN_ADDRESS = re.compile(r"://[^\s:/@]*:(\S+)@")
_LONGEST_ADDRESS = 4096


def find_secrets(environ: Environ, project: ProjectRules) -> Iterator[Secret]:
    """Yield what to mask: values of secret variables, and passwords inside of addresses.

    Short words, short numbers and what has fewer than 6 characters are left out.
    """
    secret = (variable.value for variable in secret_variables(environ, project))
    addresses = (variable.value for variable in environ if "://" in variable.value)
    inside = (password for address in addresses for password in _passwords(address))
    for value in (*secret, *inside):
        yield from (Secret(text) for text in {value, tidy(value)} if not _COMMON.fullmatch(text))


def secret_variables(environ: Environ, project: ProjectRules) -> Iterator[Variable]:
    """Yield every variable that is set and that name, value or the project make a secret."""
    listed = {*project.required, *project.bytes}
    return (variable for variable in environ if _is_secret(variable, listed))


def _is_secret(variable: Variable, listed: Collection[str]) -> bool:
    name, value = variable.name, variable.value
    if not value.strip() or is_switch(name, value) or is_path(value):
        return False
    return name in listed or is_secret_name(name) or is_secret_value(value)


def _passwords(address: str) -> Iterator[str]:
    if len(address) > _LONGEST_ADDRESS:
        return
    found = _IN_ADDRESS.search(address)
    if found is not None:
        yield from (found[1], unquote(found[1]))
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    if parts.password:
        yield from (parts.password, unquote(parts.password))
    yield from (value for name, value in parse_qsl(parts.query) if is_secret_name(name))
