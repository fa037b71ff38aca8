"""The roles that people have in a space, and who is an operator."""

from collections.abc import Collection
from enum import IntEnum

from libs.common.identity import Identity


class Role(IntEnum):
    """In order of power. An anonymous reader is a guest. The wire carries `label`."""

    GUEST = 0
    VISITOR = 1
    MEMBER = 2
    MODERATOR = 3
    OWNER = 4
    OPERATOR = 5

    @property
    def label(self) -> str:
        return self.name.lower()


MODERATING = frozenset(role.label for role in Role if role >= Role.MODERATOR)
"""The labels of moderators and those above them: they enter a full space and speak where voice is off."""


def is_operator(identity: Identity, operators: Collection[str]) -> bool:
    """Returns whether `identity` stands above every space: by its token, or by an account that the settings name."""
    return identity.operator or (identity.account is not None and identity.account in operators)
