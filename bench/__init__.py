"""Measures the real service beside its peers: `make bench`, `python -m bench --quick`."""
