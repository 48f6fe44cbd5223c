"""What the name of a variable says about its value."""

import re

_QUALIFIER = re.compile(
    r"_(?:v?\d+|old|new|previous|prev|next|current|primary|secondary|fallback|base|b64|base64|hex|"
    r"string|value|prod|production|live|staging|development|dev|test|local|default)$"
)
_SECRET_ENDINGS = re.compile(
    r"(?:^|_)(?:key|keys|api_?keys?|token|secrets?|passwords?|passwd|pass|pwd|passphrase|passcode|"
    r"credentials?|salt|pepper|mnemonic|seed_phrase|secret_id|access_key_id|redis_auth|"
    r"neo4j_auth|registry_auth|jwt|pat)$|"
    r"[a-z0-9](?:password|passwd|passphrase|secret|apikey|secretkey|accesskey|privatekey|token)$"
)
_PUBLIC_ENDINGS = re.compile(
    r"(?:^|_)(?:public_?key|publishable_?key|site_?key|primary_?key|cache_?key|sort_?key|"
    r"partition_?key|routing_?key|shard_?key|group_?key|hash_?key|range_?key|ssh_?key|host_?key|"
    r"foreign_?key|idempotency_?key|lookup_?key|index_?key|object_?key|message_?key|primary)$|"
    r"tokenizer|"
    # Where a shell stands, which every process inherits.
    r"^pwd$"
)
# The marks of a language model's vocabulary.
_PUBLIC_TOKENS = re.compile(
    r"(?:^|_)(?:bos|eos|eot|eom|pad|unk|sep|cls|mask|special|stop|start|end|begin)_token$"
)
# A project's key in a tracker, the key of an object in a bucket, the name of a header: the ending
# is a secret's, the value mostly is none.
_UNCERTAIN = re.compile(
    r"(?:^|_)(?:project|issue|board|space|epic|ticket|feature|flag|toggle|experiment|bucket|s3|"
    r"object|file|folder|asset|image|photo|document|page|menu|theme|section|component|module|"
    r"i18n|translation|locale|lang|language|metric|tag|label|annotation|column|row|field|record|"
    r"entity|item|order|event|message|queue|topic|job|task|lock|mutex|dedup|dedupe|header|param|"
    r"parameter|query|config|setting|settings|registry|attribute|property|dict|map|json|yaml|"
    r"sample|short|shortcut|hot)_key$|"
    r"(?:^|_)(?:csrf|xsrf)_token$"
)
_MEANT_AS_FILE = re.compile(
    r"^(?:aws_web_identity_token|aws_shared_credentials|azure_federated_token)$|"
    r"(?:^|_)(?:ssl|tls|ca|cert|certificate|client|server|host)_?(?:private_)?key$"
)
_SWITCH = re.compile(
    r"(?:^|_)(?:enable|enabled|disable|disabled|use|require|required|requires|allow|has|is|show|"
    r"hide|skip|no|force|with|random|generate|rotate|check|verify|validate|reset)(?:_|$)"
)
_SWITCH_VALUES = frozenset({"0", "1", "true", "false", "yes", "no", "on", "off"})
_PATH = re.compile(r"(?:~|\.{1,2}|[A-Z]:)?(?:[/\\][\w.@-]+){1,16}\.[a-z0-9]{2,6}")
_URL_ENDINGS = re.compile(r"(?:^|_)(?:url|uri|dsn)$")
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

_ISSUED = re.compile(
    r"sk-[A-Za-z0-9_-]{16,}|[srp]k_(?:live|test)_[A-Za-z0-9]{8,}|whsec_[A-Za-z0-9+/=]{16,}|"
    r"gh[opsur]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{15,}|xox[abeprs]-[\w-]{10,}|"
    r"(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{30,}|ya29\.[\w-]{20,}|SG\.[\w-]{16,}\.[\w-]{16,}|"
    r"hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{20,}|do[opr]_v1_\w{20,}|"
    r"shp(?:at|ca|pa|ss)_\w{20,}|hvs\.[\w-]{20,}|dp\.(?:st|pt|sa)\.[\w.-]{20,}|"
    r"lin_api_\w{20,}|base64:[A-Za-z0-9+/]{40,}=*|eyJ[\w-]{5,}\.eyJ[\w-]{5,}\.[\w-]*|"
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*",
    re.DOTALL,
)
_SAYS_SECRET = re.compile(
    r"[<\[{_]*(?:your|change|replace|insert|enter|put|paste|generate|fake|example|"
    r"dummy)[-_ ]?[\w -]{0,40}?(?:api[-_ ]?key|secret|token|password|passphrase|"
    r"credential|private[-_ ]key|access[-_ ]key|key[-_ ]here)[\w<>\]}! -]{0,40}",
    re.IGNORECASE,
)
_LONGEST_JUDGED = 4096


def is_plain_name(name: str) -> bool:
    """Return True when a shell could set the name; others are left out and never shown."""
    return _SHELL_NAME.fullmatch(name) is not None


def is_secret_name(name: str) -> bool:
    """Return True when a variable of this name holds a secret, going by how people name them.

    `SECRET_KEY_OLD`, `JWT_SECRET_2` and `OPENSSL_KEY_V1` are secrets like those they stand beside.
    """
    lower = name.lower()
    return _is_secret_ending(lower) or _is_secret_ending(_QUALIFIER.sub("", lower))


def is_uncertain_name(name: str) -> bool:
    """Return True when a name ends as a secret's does, but mostly holds what is public."""
    return _UNCERTAIN.search(name.lower()) is not None


def is_secret_value(value: str) -> bool:
    """Return True when a value looks like a secret or speaks of one, whatever its name."""
    bare = value.strip()
    if not bare or len(bare) > _LONGEST_JUDGED:
        return False
    return _ISSUED.fullmatch(bare) is not None or (
        "://" not in bare and _SAYS_SECRET.fullmatch(bare) is not None
    )


def is_path(value: str) -> bool:
    """Return True for the path of a file that holds a secret: `TLS_KEY=/certs/tls.key`."""
    return _PATH.fullmatch(value.strip()) is not None


def is_switch(name: str, value: str) -> bool:
    """Return True for a switch, which holds no secret: `MYSQL_ALLOW_EMPTY_PASSWORD=yes`."""
    return value.strip().lower() in _SWITCH_VALUES and bool(_SWITCH.search(name.lower()))


def is_mounted_name(name: str) -> bool:
    """Return True when `NAME_FILE` is read as the mounted form of `NAME`.

    So are addresses, which may carry a password. `SSL_CERT_FILE`, `TLS_KEY_FILE` and their like
    name files that are meant to be files.
    """
    lower = name.lower()
    may_be_mounted = is_secret_name(name) or _URL_ENDINGS.search(lower)
    return bool(may_be_mounted) and not _MEANT_AS_FILE.search(lower)


def is_near(one: str, other: str, edits: int = 2) -> bool:
    """Return True when two names are at most `edits` insertions, deletions or changes apart."""
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


def _is_secret_ending(lower: str) -> bool:
    if _PUBLIC_ENDINGS.search(lower) or _PUBLIC_TOKENS.search(lower):
        return False
    return _SECRET_ENDINGS.search(lower) is not None
