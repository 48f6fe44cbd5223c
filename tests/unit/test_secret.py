import copy
import pickle
from dataclasses import dataclass

import pytest

from sidecar.config.secret import Secret

TEXT = "correct horse battery staple"


@dataclass(frozen=True)
class Holder:
    secret: Secret


def test_a_secret_shows_a_mask_however_it_is_printed() -> None:
    secret = Secret(TEXT)

    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>40}",
        f"{secret!r}",
        f"{secret}",
    ]
    shown += [repr(Holder(secret)), repr([secret]), repr({"key": secret})]

    assert not [each for each in shown if TEXT in each]
    assert "***" in str(secret)


def test_a_secret_tells_no_length() -> None:
    assert repr(Secret("a")) == repr(Secret("a" * 1000))
    assert not hasattr(Secret("a"), "__len__")
    assert not hasattr(Secret("a"), "__dict__")


def test_equal_texts_are_equal_secrets_also_outside_of_unicode() -> None:
    assert Secret("\udcff") == Secret("\udcff")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_a_secret_refuses_to_be_pickled_and_its_copy_is_itself() -> None:
    secret = Secret(TEXT)

    with pytest.raises(TypeError) as refused:
        pickle.dumps(Holder(secret))

    assert TEXT not in str(refused.value)
    assert copy.deepcopy(secret) is secret
    assert copy.copy(secret) is secret
    assert secret.reveal() == TEXT
