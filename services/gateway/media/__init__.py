"""Our door to IPFS: `GET /api/media/{cid}[/{path}]`."""
