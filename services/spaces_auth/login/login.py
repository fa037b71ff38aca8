"""Login by a signed challenge or as a guest, refresh with reuse detection, and logout."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

from redis.asyncio import Redis

from libs.common import cache
from libs.common.bus.base import Caller
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
from services.spaces_auth.login.challenges import Challenges
from services.spaces_auth.login.hive_authority import HiveAuthority, recover_key
from services.spaces_auth.login.refreshes import Refreshes, Use
from services.spaces_auth.login.signing_keys import SigningKeys
from services.spaces_auth.login.wallet_challenges import WalletChallenges, is_wallets, refuse_for_login
from services.spaces_auth.settings import Settings

PROOF_SECONDS = 60  # life of the token that carries one request


class LoginHandlers:
    """Makes and ends tokens."""

    def __init__(
        self, settings: Settings, database: Database, redis: Redis, keys: SigningKeys, authority: HiveAuthority
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._keys = keys
        self._authority = authority
        host = urlsplit(settings.public_url).netloc
        self._challenges = Challenges(redis, host, settings.challenge_seconds)
        self._wallets = WalletChallenges(redis, taken=settings.wallet_challenges)
        self._refreshes = Refreshes(database, settings)

    async def challenge(self, _: Caller, request: ChallengeRequest) -> Challenge:
        """Returns a text for the account to sign."""
        return Challenge(*await self._challenges.issue(request.account))

    async def login(self, _: Caller, request: Login) -> Tokens:
        """Returns tokens for the account that signed the challenge. The challenge is spent whatever the outcome."""
        if is_wallets(request.challenge):
            raise refuse_for_login()
        account, text = await self._challenges.spend(request.challenge, request.account)
        keys = {recover_key(text, signature) for signature in (request.signature, *request.signatures)}
        await self._authority.require_posting_keys(account, keys)
        signer, login_id = await self._keys.signer(), new_id()
        return self._tokens(signer, account, login_id, await self._refreshes.begin(account, login_id))

    async def prove(self, _: Caller, request: Prove) -> Proven:
        """Returns a token for one request of the account that signed; the edge keeps it to itself.

        A challenge of ours is spent whatever the outcome. One of the client's own is used up by who has signed it.
        """
        if is_wallets(request.challenge):
            identity = _identity(await self._prove_by_wallet(request), None)
        else:
            account, text = await self._challenges.spend(request.challenge, request.account)
            await self._authority.require_posting_keys(account, {recover_key(text, request.signature)})
            identity = _identity(account, new_id())
        return Proven((await self._keys.signer()).sign(identity, PROOF_SECONDS)[0])

    async def _prove_by_wallet(self, request: Prove) -> str:
        """Returns the account. No login stands behind it, so the admission that it opens is not renewed."""
        account = self._wallets.require_good(request)
        key = recover_key(request.challenge, request.signature)
        await self._authority.require_posting_keys(account, {key})
        await self._wallets.use_up(request.challenge, account, key)
        return account

    async def guest(self, _: Caller, request: GuestRequest) -> GuestToken:
        """Returns the token of a new guest."""
        identity = new_guest(new_id(), request.display_name)
        token, signed = (await self._keys.signer()).sign(identity, self._settings.guest_token_seconds)
        return GuestToken(token, identity.id, identity.display_name, _moment(signed.expires_at))

    async def refresh(self, caller: Caller, request: Refresh) -> Tokens:
        """Returns new tokens for a refresh token, the same refresh token for as long as it may be shown again.

        Raises `unauthorized`; one that was stolen has ended its login then.
        """
        signer = await self._keys.signer()  # before the exchange: without a signer nothing is used up
        shown = await self._refreshes.exchange(request.refresh_token, caller.request_id)
        if shown.use is Use.GOOD:
            return self._tokens(signer, shown.account, shown.family_id, shown.successor)
        if shown.use is Use.THEFT:  # the thief's earlier tokens end too
            await self._deny(_identity(shown.account, shown.family_id))
        raise PresenceError(UNAUTHORIZED, "The refresh token is unknown, used or has run out; log in again.")

    async def logout(self, caller: Caller, _: Empty) -> Empty:
        """Ends the token and its whole login; does nothing for a caller without a token.

        Refreshing ends first, then the tokens in use: a logout that failed between can be repeated, and ends both.
        """
        identity = caller.identity
        if identity.account and identity.login_id:
            await self._refreshes.end(identity.login_id)
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

    def _tokens(self, signer: Signer, account: str, login_id: str, refresh_token: str) -> Tokens:
        token, signed = signer.sign(_identity(account, login_id), self._settings.token_seconds)
        return Tokens(token, refresh_token, _moment(signed.expires_at), account)


def _identity(account: str, login_id: str | None) -> Identity:
    return Identity("account", account, account, login_id=login_id)


def _moment(unix_seconds: int) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)
