"""SQL lives in repositories: no other module of a service imports what statements are made of."""

import ast
from pathlib import Path

import pytest

SERVICES = ("chat", "spaces_auth")
ROOT = Path(__file__).parents[3] / "services"
MODULES = [path for service in SERVICES for path in sorted((ROOT / service).rglob("*.py"))]
TYPES = {"Row", "AsyncConnection"}  # of what repositories take and give


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_repositories_make_statements(path: Path) -> None:
    if path.stem.endswith("repository"):
        return
    imported = {
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).split(".")[0] == "sqlalchemy"
    }
    assert imported <= TYPES
