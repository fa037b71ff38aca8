"""A stand-in for an IPFS gateway with generated pictures and one A-Frame scene: nothing of it needs a network."""
