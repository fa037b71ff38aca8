"""Login by a signed challenge or as a guest, refresh with reuse detection, and logout."""

import base64
import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import cache
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts.auth import (
    Challenge,
    ChallengeRequest,
    Empty,
    GuestRequest,
    GuestToken,
    Jwks,
    Login,
    Me,
    Prove,
    Proven,
    Refresh,
    Tokens,
)
from libs.common.db.engine import Database
from libs.common.errors import UNAUTHORIZED, PresenceError
from libs.common.identity import Identity, new_guest
from libs.common.ids import new_id
from libs.common.tokens import Signer
from services.spaces_auth.login import refresh_tokens_repository as repository
from services.spaces_auth.login.challenges import Challenges
from services.spaces_auth.login.hive_authority import HiveAuthority, recover_key
from services.spaces_auth.login.signing_keys import SigningKeys
from services.spaces_auth.settings import Settings

PROOF_SECONDS = 60  # life of the token that carries one request


class LoginHandlers:
    """Makes and ends tokens."""

    def __init__(
        self, settings: Settings, database: Database, redis: Redis, keys: SigningKeys, authority: HiveAuthority
    ) -> None:
        self._settings = settings
        self._database = database
        self._redis = redis
        self._keys = keys
        self._authority = authority
        host = urlsplit(settings.public_url).netloc
        self._challenges = Challenges(redis, host, settings.challenge_seconds)

    async def challenge(self, _: Caller, request: ChallengeRequest) -> Challenge:
        """Returns a text for the account to sign."""
        return Challenge(*await self._challenges.issue(request.account))

    async def login(self, _: Caller, request: Login) -> Tokens:
        """Returns tokens for the account that signed the challenge. The challenge is spent whatever the outcome."""
        account, text = await self._challenges.spend(request.challenge, request.account)
        keys = {recover_key(text, signature) for signature in (request.signature, *request.signatures)}
        await self._authority.require_posting_keys(account, keys)
        signer = await self._keys.signer()
        async with self._database.transaction() as connection:
            return await self._issue_tokens(connection, signer, request.account, new_id(), secrets.token_urlsafe(32))

    async def prove(self, _: Caller, request: Prove) -> Proven:
        """Returns a token for one request of the account that signed. The challenge is spent whatever the outcome."""
        account, text = await self._challenges.spend(request.challenge, request.account)
        await self._authority.require_posting_keys(account, {recover_key(text, request.signature)})
        identity = Identity("account", account, account, login_id=new_id())
        token = (await self._keys.signer()).sign(identity, PROOF_SECONDS)[0]
        return Proven(token)

    async def guest(self, _: Caller, request: GuestRequest) -> GuestToken:
        """Returns the token of a new guest."""
        identity = new_guest(new_id(), request.display_name)
        token, signed = (await self._keys.signer()).sign(identity, self._settings.guest_token_seconds)
        return GuestToken(token, identity.id, identity.display_name, _moment(signed.expires_at))

    async def refresh(self, caller: Caller, request: Refresh) -> Tokens:
        """Returns new tokens for an unused refresh token; ends the login of a used one. Raises `unauthorized`.

        The bus may deliver one command twice: by its request id both get the same refresh token.
        """
        successor = self._successor(request.refresh_token, caller.request_id)
        signer = await self._keys.signer()  # before the transaction: it may need a connection of its own
        async with self._database.transaction() as connection:
            row = await repository.use_refresh_token(connection, _hash(request.refresh_token), _hash(successor))
            if row is not None and not row.spent:
                # In this transaction: a thief's use of the same token waits for it, and then revokes this one too.
                return await self._issue_tokens(connection, signer, row.account, row.family_id, successor)
            if row is not None:
                await repository.revoke_family(connection, row.family_id)
        if row is not None:  # the token was stolen: the thief's earlier tokens end too
            await self._deny(Identity("account", row.account, row.account, login_id=row.family_id))
        raise PresenceError(UNAUTHORIZED, "The refresh token is unknown, used or has run out; log in again.")

    async def logout(self, caller: Caller, _: Empty) -> Empty:
        """Ends the token and its whole login; does nothing for a caller without a token.

        Refreshing ends first, then the tokens in use: a logout that failed between can be repeated, and ends both.
        """
        identity = caller.identity
        if identity.account and identity.login_id:
            async with self._database.transaction() as connection:
                await repository.revoke_family(connection, identity.login_id)
        await self._deny(identity)
        return Empty()

    async def _deny(self, identity: Identity) -> None:
        """Makes edges refuse the token and its login from now on, and live sockets hear of it by the stream."""
        settings = self._settings
        longest = max(settings.token_seconds, settings.guest_token_seconds, settings.admission_seconds)
        with cache.redis_unavailable():
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in cache.denials(identity):
                    pipe.set(key, "1", ex=longest)
                for name in filter(None, (identity.token_id, identity.login_id)):
                    pipe.xadd(cache.LOGOUTS, {"id": name}, maxlen=cache.LOGOUTS_KEPT, approximate=True)
                await pipe.execute()

    async def me(self, caller: Caller, _: Empty) -> Me:
        """Returns the caller's identity as its token has it."""
        identity = caller.identity
        guest_id = identity.id if identity.guest and identity.token_id else None
        return Me(identity.kind, identity.account, guest_id, identity.display_name, identity.operator)

    async def jwks(self, _: Caller, __: Empty) -> Jwks:
        """Returns the public keys that tokens are signed with."""
        return Jwks(await self._keys.jwks())

    def _successor(self, refresh_token: str, request_id: str) -> str:
        """Returns the refresh token that a request gets in the place of one; only the secret yields it."""
        message = f"refresh {request_id} {refresh_token}"
        digest = hmac.digest(base64.b64decode(self._settings.secret_key), message.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    async def _issue_tokens(
        self, connection: AsyncConnection, signer: Signer, account: str, family_id: str, refresh_token: str
    ) -> Tokens:
        identity = Identity("account", account, account, login_id=family_id)
        token, signed = signer.sign(identity, self._settings.token_seconds)
        expires = now() + timedelta(seconds=self._settings.refresh_seconds)
        await repository.add_refresh_token(connection, _hash(refresh_token), family_id, account, expires)
        return Tokens(token, refresh_token, _moment(signed.expires_at), account)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _moment(unix_seconds: int) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)
