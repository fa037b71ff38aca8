"""The demo primary: what data.dlux.io holds, in its real shapes, with sample content."""

from deploy.local.primary.seed import seed

__all__ = ["seed"]
