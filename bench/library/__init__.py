"""`python -m bench.library`: what the client library shows of a walker, what a frame costs, and how many bytes it has.

No server: poses come as a viewer gets them, on clocks of the bench's own, so that every run has the same ones.
"""
