"""Tokens of a running stack's own key, made as spaces_auth makes them."""

from deploy.local.stack import Stack
from libs.common.db.engine import Database
from libs.common.db.sealing import Sealer
from libs.common.identity import Identity
from services.spaces_auth.login.signing_keys import SigningKeys


async def signed_token(stack: Stack, account: str, seconds: int) -> str:
    """Returns a token with so long to live."""
    database = Database(stack.settings["PRESENCE_DATABASE_URL"], "spaces_auth")
    signer = await SigningKeys(database, Sealer(stack.settings["PRESENCE_SECRET_KEY"]), stack.url).signer()
    await database.stop()
    return signer.sign(Identity("account", account, account), seconds)[0]
