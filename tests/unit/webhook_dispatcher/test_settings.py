import base64

import pytest

from libs.common.settings import SettingsError, read
from services.webhook_dispatcher.settings import Settings


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_SECRET_KEY", base64.b64encode(bytes(32)).decode())


def test_networks_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8,::1/128")
    assert read(Settings).webhook_allowed_networks == ("127.0.0.0/8", "::1/128")


def test_by_default_only_public_addresses_by_https_are_sent_to_and_each_is_asked_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PRESENCE_WEBHOOK_ALLOWED_NETWORKS", raising=False)
    settings = read(Settings)
    assert settings.webhook_allowed_networks == ()
    assert settings.webhook_require_https
    assert settings.webhook_ping


def test_a_malformed_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_WEBHOOK_ALLOWED_NETWORKS", "localhost")
    with pytest.raises(SettingsError, match="'localhost'"):
        read(Settings)
