"""Makes the key pair of a subscription whose webhooks are signed asymmetrically, and throws it away."""

from typing import Any

from libs.common.contracts.webhooks import ChangeSubscription, Subscription
from libs.common.db.sealing import Sealer
from services.webhook_dispatcher import signing


class SigningKeys:
    """Each method returns columns of a subscription."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def made(self, subscription_id: str) -> dict[str, Any]:
        """A new pair. The private key is shown to nobody."""
        key = signing.make_signing_key()
        sealed = self._sealer.seal(key, signing.owner_of_signing_key(subscription_id))
        return {"signing_key_sealed": sealed, "public_key": signing.public_key_of(key)}

    def changed(self, stored: Subscription, request: ChangeSubscription) -> dict[str, Any]:
        """What a change asks for; nothing where it is so already."""
        if request.asymmetric in (None, stored.public_key is not None):
            return {}
        return self.made(stored.id) if request.asymmetric else {"signing_key_sealed": None, "public_key": None}
