import base64
import hashlib
import hmac
import time
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from libs.common.errors import PresenceError
from services.webhook_dispatcher import signing

RFC_8032 = (  # section 7.1, test 1: a private key, and the public one that belongs to it
    b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    b"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
)
BODY = '{"event":"chat","data":{"message":"Grüße 👋"}}'.encode()


def headers(*secrets: str, body: bytes = BODY) -> dict[str, str]:
    return signing.headers([signing.key_of(secret) for secret in secrets], "msg_1", body, datetime.now(UTC))


def test_a_server_made_secret_verifies_with_the_standard_library() -> None:
    secret = signing.make_secret()
    assert Webhook(secret).verify(BODY, headers(secret))["event"] == "chat"


def test_an_own_secret_verifies_when_the_library_is_given_its_bytes() -> None:
    library = Webhook(base64.b64encode(b"webhook_secret").decode())
    assert library.verify(BODY, headers("webhook_secret"))["event"] == "chat"


def test_an_own_standard_secret_is_taken_as_what_it_is() -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    assert Webhook(secret).verify(BODY, headers(secret))["event"] == "chat"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_short", "whsec_!!!!", "whsec_" + "A" * 30, "whsec_ü"])
def test_a_standard_secret_that_no_library_would_take_is_refused(secret: str) -> None:
    with pytest.raises(PresenceError, match="24 to 64"):
        signing.key_of(secret)


def test_the_plain_signature_is_an_hmac_of_the_raw_body() -> None:
    expected = hmac.new(b"webhook_secret", BODY, hashlib.sha256).hexdigest()
    assert headers("webhook_secret")["X-DLUX-Signature"] == f"sha256={expected}"


def test_while_a_secret_rotates_both_verify() -> None:
    new, old = signing.make_secret(), signing.make_secret()
    signed = headers(new, old)
    assert len(signed["webhook-signature"].split(" ")) == 2
    for secret in (new, old):
        Webhook(secret).verify(BODY, signed)


def test_a_key_pair_signs_beside_the_secret_and_its_public_key_verifies() -> None:
    secret, private = signing.make_secret(), signing.make_signing_key()
    moment = datetime.now(UTC)
    signed = signing.headers([signing.key_of(secret)], "msg_1", BODY, moment, private)
    assert Webhook(secret).verify(BODY, signed)["event"] == "chat"
    version, _, signature = signed["webhook-signature"].split()[1].partition(",")
    public = signing.public_key_of(private)
    assert (version, public[:5]) == ("v1a", "whpk_")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    content = f"msg_1.{signed['webhook-timestamp']}.".encode() + BODY
    key.verify(base64.b64decode(signature), content)
    with pytest.raises(InvalidSignature):
        key.verify(base64.b64decode(signature), content + b" ")


def test_a_public_key_is_that_of_rfc_8032_as_standard_webhooks_writes_it() -> None:
    private, public = (base64.b16decode(key, casefold=True) for key in RFC_8032)
    assert signing.public_key_of(private) == "whpk_" + base64.b64encode(public).decode()


@pytest.mark.parametrize("spoilt", ["webhook-id", "webhook-timestamp"])
def test_a_tampered_webhook_does_not_verify(spoilt: str) -> None:
    secret = signing.make_secret()
    signed = headers(secret)
    signed[spoilt] = {"webhook-id": "msg_2", "webhook-timestamp": str(int(time.time()) + 5)}[spoilt]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, signed)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers(secret))


def test_a_signature_of_long_ago_does_not_verify() -> None:
    secret = signing.make_secret()
    old = signing.headers([signing.key_of(secret)], "msg_1", BODY, datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(BODY, old)


def test_the_user_agent_names_the_version_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert headers("webhook_secret")["User-Agent"] == f"DLUX-Presence-Webhook/{project['version']}"
