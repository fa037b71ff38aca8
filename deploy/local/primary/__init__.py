"""The demo primary: what data.dlux.io holds, in its real shapes, with sample content."""

from deploy.local.primary.seed import Shape, seed

__all__ = ["Shape", "seed"]
