import pytest

from lib.errors import Misconfigured
from lib.settings import Origin, Settings

GOOD = {
    "MODELRIVER_WEBHOOK_SECRET": "one two",
    "MODELRIVER_API_KEY": "mr-key",
    "DATABASE_URL": "postgresql://user:pass@ep-x-pooler.eu.aws.neon.tech/db?sslmode=require",
}


def test_settings() -> None:
    settings = Settings.of(GOOD)
    assert settings.webhook_secrets == (b"one", b"two")
    assert settings.api_key == "mr-key"
    assert settings.database_url == GOOD["DATABASE_URL"]
    assert settings.callback_origins == {Origin("https", "api.modelriver.com", 443)}


def test_white_space_that_was_pasted_along_is_dropped() -> None:
    padded = {name: f" {value}\n" for name, value in GOOD.items()}
    assert Settings.of(padded) == Settings.of(GOOD)


def test_a_secret_shows_in_no_repr() -> None:
    shown = repr(Settings.of(GOOD))
    assert not any(secret in shown for secret in ("one", "mr-key", "pass"))


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_missing_setting_is_named(name: str, value: str | None) -> None:
    environment = {key: text for key, text in {**GOOD, name: value}.items() if text is not None}
    with pytest.raises(Misconfigured) as caught:
        Settings.of(environment)
    assert caught.value.reason == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODELRIVER_API_KEY", "two words"),
        ("MODELRIVER_API_KEY", "line\nbreak"),
        ("MODELRIVER_API_KEY", "schlüssel"),
        ("DATABASE_URL", "mysql://user@host/db"),
        ("DATABASE_URL", "psql 'postgresql://user@host/db'"),
        ("DATABASE_URL", "postgresql://"),
        ("DATABASE_URL", "postgresql:///db"),
        ("DATABASE_URL", "ep-x.neon.tech"),
        ("MODELRIVER_CALLBACK_ORIGINS", "api.modelriver.com"),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://a.test ftp://b.test"),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://a.test:port"),
        ("MODELRIVER_CALLBACK_ORIGINS", "https://user@a.test"),
    ],
)
def test_a_malformed_setting_is_named_without_its_value(name: str, value: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Settings.of({**GOOD, name: value})
    assert caught.value.reason == name
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.test", "https://a.test"),
        ("HTTPS://A.test:443/x?y", "https://a.test"),
        ("http://a.test:8080", "http://a.test:8080"),
        ("http://[::1]:80/", "http://[::1]"),
        ("https://a.test:", "https://a.test"),
    ],
)
def test_origin(url: str, origin: str) -> None:
    assert str(Origin.of(url)) == origin


def test_several_origins() -> None:
    origins = "https://a.test http://127.0.0.1:3001"
    settings = Settings.of({**GOOD, "MODELRIVER_CALLBACK_ORIGINS": origins})
    assert sorted(map(str, settings.callback_origins)) == [
        "http://127.0.0.1:3001",
        "https://a.test",
    ]
