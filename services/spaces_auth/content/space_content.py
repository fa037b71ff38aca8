"""Answers what a space shows, of what is kept here; the primary is not asked, nor Hive but of unknown communities."""

from typing import Any

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.bus.base import Caller, ForAll, told_to_all
from libs.common.clock import now
from libs.common.contracts.content import Asset, DocumentText, GetContent, Image, Scene, SpaceContent
from libs.common.contracts.spaces import SpaceSummary
from libs.common.db.engine import Database
from libs.common.spaces import SpaceKey
from services.spaces_auth.communities.communities import Communities
from services.spaces_auth.content import kept_repository
from services.spaces_auth.content.scenes import Addresses, kind_of, scene
from services.spaces_auth.content.wanted import want
from services.spaces_auth.spaces import content_repository
from services.spaces_auth.spaces.space_summary import summary
from services.spaces_auth.spaces.visibility import require_visible


class SpaceContentHandlers:
    """Raises what `GET /api/spaces/{type}/{id}` raises: both are asked of one policy."""

    def __init__(
        self,
        database: Database,
        redis: Redis,
        communities: Communities,
        operators: tuple[str, ...],
        addresses: Addresses,
    ) -> None:
        self._database = database
        self._communities = communities
        self._redis = redis
        self._operators = operators
        self._addresses = addresses

    async def get_content(self, caller: Caller, request: GetContent) -> SpaceContent | ForAll[SpaceContent]:
        """Returns the content. A post whose text is still to be fetched is asked for, and `pending` until it is."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        await self._communities.ensure(space, caller.address)
        async with self._database.read() as connection:
            standing = await require_visible(connection, caller, space, self._operators)
            shown = summary(standing, await content_repository.content_of(connection, space), 0)
            match space.space_type:
                case "post":
                    content, wanted = await self._of_post(connection, space, shown)
                case "document":
                    content, wanted = await self._of_document(connection, space, shown), False
                case _:
                    content, wanted = _plain(shown, kind_of(space, "")), False
        if wanted:
            await want(self._redis, space.space_id)
        return told_to_all(caller, content, alike=not standing.by_address)

    async def _of_post(
        self, connection: AsyncConnection, space: SpaceKey, shown: SpaceSummary
    ) -> tuple[SpaceContent, bool]:
        """Returns a post's content, and whether its text is to be fetched."""
        author, _, permlink = space.space_id.partition("/")
        kept = await kept_repository.of_post(connection, author, permlink, now())
        if kept is None:  # gone since the policy looked
            return _plain(shown, "blog"), False
        details: dict[str, Any] = kept.details or {}
        images = [Image(self._addresses.of(url), self._addresses.of(url)) for url in details.get("images", [])]
        assets = [self._asset(asset) for asset in details.get("assets", [])]
        kind = kind_of(space, shown.type)
        missing = kept.body is None
        content = SpaceContent(
            title=shown.display_name,
            body=shown.description if kept.body is None else kept.body,
            body_format="text" if missing else "markdown",
            author=author,
            created_at=shown.created_at,
            images=images,
            assets=assets,
            scene=scene(kind, details.get("entry"), author, (assets, images), self._addresses),
            document=None,
            license=kept.license or details.get("license"),
            tags=kept.tags or details.get("tags", []),
            pending=missing and kept.askable,
        )
        return content, kept.askable

    def _asset(self, kept: dict[str, Any]) -> Asset:
        url = self._addresses.of(kept["url"])
        thumb = self._addresses.of(kept["thumb"]) if kept["thumb"] else url
        return Asset(url, thumb, kept["kind"], kept["name"], kept["rotation"], kept["first"])

    async def _of_document(self, connection: AsyncConnection, space: SpaceKey, shown: SpaceSummary) -> SpaceContent:
        kept = await kept_repository.of_document(connection, space.space_id)
        document = DocumentText(kept.text, kept.updated_at) if kept else DocumentText(None, None)
        return _plain(shown, kind_of(space, ""), document)


def _plain(shown: SpaceSummary, kind: str, document: DocumentText | None = None) -> SpaceContent:
    """Returns the content of a space that has words and nothing else."""
    return SpaceContent(
        title=shown.display_name,
        body=(document.text or "") if document else shown.description,
        body_format="markdown" if document else "text",
        author=shown.creator,
        created_at=shown.created_at,
        images=[],
        assets=[],
        scene=Scene(kind, None, None),
        document=document,
        license=None,
        tags=[],
        pending=False,
    )
