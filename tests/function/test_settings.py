from collections.abc import Mapping
from typing import NamedTuple

import pytest

from lib.errors import Misconfigured
from lib.settings import api_key, callback_origins, database_url, origin, webhook_secrets

GOOD = {
    "MODELRIVER_WEBHOOK_SECRET": "one two",
    "MODELRIVER_API_KEY": "mr-key",
    "DATABASE_URL": "postgresql://user:pass@ep-x-pooler.eu.aws.neon.tech/db?sslmode=require",
}


class Settings(NamedTuple):
    webhook_secrets: tuple[bytes, ...]
    api_key: str
    database_url: str
    callback_origins: frozenset[str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Settings":
        return cls(
            webhook_secrets(environment),
            api_key(environment),
            database_url(environment),
            callback_origins(environment),
        )


def test_settings() -> None:
    settings = Settings.of(GOOD)
    assert settings.webhook_secrets == (b"one", b"two")
    assert settings.api_key == "mr-key"
    assert settings.database_url == GOOD["DATABASE_URL"]
    assert settings.callback_origins == {"https://api.modelriver.com"}


def test_white_space_that_was_pasted_along_is_dropped() -> None:
    padded = {name: f" {value}\n" for name, value in GOOD.items()}
    assert Settings.of(padded) == Settings.of(GOOD)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_missing_setting_is_named(name: str, value: str | None) -> None:
    environment = {key: text for key, text in {**GOOD, name: value}.items() if text is not None}
    with pytest.raises(Misconfigured) as caught:
        Settings.of(environment)
    assert caught.value.reason == f"{name} is missing"


NO_TOKEN = "has something in it that no bearer token has"
NO_URL = "is not a postgresql:// URL"
NO_ORIGIN = "has something in it that is not an origin"


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("MODELRIVER_API_KEY", "two words", NO_TOKEN),
        ("MODELRIVER_API_KEY", "line\nbreak", NO_TOKEN),
        ("MODELRIVER_API_KEY", "schlüssel", NO_TOKEN),
        ("MODELRIVER_API_KEY", "mr_live_a,", NO_TOKEN),
        ("MODELRIVER_API_KEY", "mr_live_a;", NO_TOKEN),
        ("DATABASE_URL", "mysql://user@host/db", NO_URL),
        ("DATABASE_URL", "psql postgresql://user@host/db", NO_URL),
        ("DATABASE_URL", "postgresql://", NO_URL),
        ("DATABASE_URL", "postgresql:///db", NO_URL),
        ("DATABASE_URL", "ep-x.neon.tech", NO_URL),
        ("MODELRIVER_CALLBACK_ORIGINS", "api.modelriver.com", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://a.test ftp://b.test", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://a.test:port", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://user@a.test", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://a.test;https://b.test", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://*.modelriver.com", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "*", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://a.test|https://b.test", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://[::1", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://.", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://a..b", NO_ORIGIN),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://a.test-", NO_ORIGIN),
    ],
)
def test_a_malformed_setting_is_named_without_its_value(name: str, value: str, what: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Settings.of({**GOOD, name: value})
    assert caught.value.reason == f"{name} {what}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("name", [*GOOD, "MODELRIVER_CALLBACK_ORIGINS"])
@pytest.mark.parametrize(
    ("pasted", "what"),
    [
        ('"{}"', "is still in quotes"),
        ("'{}'", "is still in quotes"),
        ("\u201c{}\u201d", "is still in quotes"),
        ('"{}', "is still in quotes"),
        ("{}'", "is still in quotes"),
        ("„{}“", "is still in quotes"),
        ("«{}»", "is still in quotes"),
        ("{NAME}={}", "still has its NAME= before it"),
        ("export {NAME}={}", "still has its NAME= before it"),
        ("set {NAME}={}", "still has its NAME= before it"),
        ("export \t{NAME}={}", "still has its NAME= before it"),
        ("$env:{NAME} = {}", "still has its NAME= before it"),
        ("\ufeff{}", "has an invisible character in it"),
        ("{}\u202c", "has an invisible character in it"),
        ("{}\xad", "has an invisible character in it"),
        ("\x1b[200~{}", "has an invisible character in it"),
        ("{}\u200b", "has an invisible character in it"),
        ("{}\\n", r"ends with a literal \n"),
        ("{}\\r\\n", r"ends with a literal \n"),
    ],
)
def test_what_goes_wrong_when_values_are_pasted_is_said(name: str, pasted: str, what: str) -> None:
    good = {**GOOD, "MODELRIVER_CALLBACK_ORIGINS": "https://api.modelriver.com"}
    value = pasted.replace("{NAME}", name).replace("{}", good[name])
    with pytest.raises(Misconfigured) as caught:
        Settings.of({**good, name: value})
    assert caught.value.reason == f"{name} {what}"


def test_one_secret_of_several_in_quotes() -> None:
    with pytest.raises(Misconfigured, match="is still in quotes"):
        Settings.of({**GOOD, "MODELRIVER_WEBHOOK_SECRET": 'new, "old", older'})


def test_a_key_of_one_letter_is_there() -> None:
    assert Settings.of({**GOOD, "MODELRIVER_API_KEY": "X"}).api_key == "X"


def test_letters_that_are_at_home_in_a_secret() -> None:
    secrets = "a\"b c=d E=f g\\nh i'j"
    settings = Settings.of({**GOOD, "MODELRIVER_WEBHOOK_SECRET": secrets})
    assert settings.webhook_secrets == tuple(secrets.encode().split())


@pytest.mark.parametrize("separator", [" ", ",", ", ", "\n", " , ", ",,"])
def test_lists_take_blanks_and_commas(separator: str) -> None:
    origins = separator.join(["https://a.test", "http://127.0.0.1:3001", ""])
    secrets = separator.join(["one", "two", ""])
    settings = Settings.of(
        {
            **GOOD,
            "MODELRIVER_CALLBACK_ORIGINS": origins,
            "MODELRIVER_WEBHOOK_SECRET": secrets,
        }
    )
    assert settings == Settings.of({**GOOD, "MODELRIVER_CALLBACK_ORIGINS": origins})
    assert sorted(map(str, settings.callback_origins)) == [
        "http://127.0.0.1:3001",
        "https://a.test",
    ]


@pytest.mark.parametrize("secret", ["JBSWY3DPEHPK3PXP====", "whsec_MfKQ9r8GKYqr==", "ABCDEF="])
def test_padding_is_no_name(secret: str) -> None:
    settings = Settings.of({**GOOD, "MODELRIVER_WEBHOOK_SECRET": secret})
    assert settings.webhook_secrets == (secret.encode(),)


@pytest.mark.parametrize("name", ["MODELRIVER_WEBHOOK_SECRET", "MODELRIVER_CALLBACK_ORIGINS"])
@pytest.mark.parametrize("value", [", ,", ",\t,", ",\r\n,"])
def test_a_list_of_nothing_is_missing(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"{name} is missing"):
        Settings.of({**GOOD, name: value})


def test_the_direct_url_is_read_by_the_same_rules() -> None:
    environment = {"DATABASE_URL_UNPOOLED": " postgresql://u@h/d\n"}
    assert database_url(environment, "DATABASE_URL_UNPOOLED") == "postgresql://u@h/d"


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("https://a.test", "https://a.test"),
        ("HTTPS://A.test:443/x?y", "https://a.test"),
        ("http://a.test:8080", "http://a.test:8080"),
        ("http://[::1]:80/", "http://[::1]"),
        ("https://a.test:", "https://a.test"),
    ],
)
def test_origin(url: str, spelled: str) -> None:
    assert origin(url) == spelled


def test_a_url_may_be_of_so_many_characters_and_no_more() -> None:
    longest = "https://a.test/".ljust(2048, "a")
    assert origin(longest) == "https://a.test"
    with pytest.raises(ValueError, match=r"^not an http or https URL without credentials$"):
        origin(f"{longest}a")
