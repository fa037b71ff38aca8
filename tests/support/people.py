"""People of the local stack, as a client program sees them: REST calls and logins."""

from typing import Any

import aiohttp

from deploy.local.keys import sign_text
from tests.support.contract import fault_of_answer

OPERATOR = "presence-operator"


class Rest:
    """A REST client of one stack. `is_held`: what it asks and is told is held to OpenAPI."""

    def __init__(self, url: str, *, is_held: bool = True) -> None:
        self.url, self._is_held = url, is_held
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def __aenter__(self) -> "Rest":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(
        self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, decoded body and headers."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self._session.request(method, self.url + path, json=body, headers=headers) as response:
            answer = await response.json()
            fault = fault_of_answer(method, path, response.status, answer, body)
            assert fault is None or not self._is_held, fault
            return response.status, answer, dict(response.headers)

    async def get(self, path: str, token: str | None = None) -> Any:
        status, body, _ = await self.ask("GET", path, token=token)
        assert status == 200, body
        return body

    async def post(self, path: str, body: Any, token: str | None = None) -> Any:
        status, answer, _ = await self.ask("POST", path, body, token)
        assert status in (200, 201), answer
        return answer

    async def login(self, account: str) -> Any:
        """The answer to a login with the account's posting key: `{token, refresh_token, ...}`."""
        challenge = (await self.post("/api/auth/challenge", {"account": account}))["challenge"]
        signature = sign_text(account, challenge)
        return await self.post("/api/auth/login", {"account": account, "challenge": challenge, "signature": signature})

    async def token(self, account: str) -> str:
        return str((await self.login(account))["token"])
