"""What the name of a variable says about its value."""

import re

_SECRET_ENDINGS = re.compile(
    r"(?:^|_)(?:api_?key|access_?key|private_?key|secret_?key|signing_?key|encryption_?key|"
    r"master_?key|auth_?key|key_base|key|keys|token|secret|secrets|password|passwd|pass|pwd|"
    r"pgpassword|passphrase|credential|credentials|salt|pepper)$"
)
_PUBLIC_ENDINGS = re.compile(
    r"(?:public_?key|publishable_?key|site_?key|primary_?key|cache_?key|sort_?key|partition_?key|"
    r"ssh_key|host_key|foreign_key)$"
)
_URL_ENDINGS = re.compile(r"(?:^|_)(?:url|uri|dsn)$")
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def is_plain_name(name: str) -> bool:
    """Tell whether a shell could set the name; others are not ours and are not shown."""
    return _SHELL_NAME.fullmatch(name) is not None


def is_secret_name(name: str) -> bool:
    """Tell whether a variable of this name holds a secret, going by how people name them."""
    lower = name.lower()
    return bool(_SECRET_ENDINGS.search(lower)) and not _PUBLIC_ENDINGS.search(lower)


def is_url_name(name: str) -> bool:
    """Tell whether a variable of this name holds an address, which may carry a password."""
    return _URL_ENDINGS.search(name.lower()) is not None


def is_mounted_name(name: str) -> bool:
    """Tell whether `NAME_FILE` is read as the mounted form of `NAME`.

    `SSL_CERT_FILE` and its like name files that are meant to be files.
    """
    return is_secret_name(name) or is_url_name(name)


def is_near(one: str, other: str, edits: int = 2) -> bool:
    """Tell whether two names are at most `edits` insertions, deletions or changes apart."""
    if abs(len(one) - len(other)) > edits:
        return False
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared += 1
    one, other = one[shared:], other[shared:]
    if not one or not other or edits == 0:
        return max(len(one), len(other)) <= edits
    return (
        is_near(one[1:], other[1:], edits - 1)
        or is_near(one[1:], other, edits - 1)
        or is_near(one, other[1:], edits - 1)
    )
