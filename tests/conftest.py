"""Plugins of every test: the quick run, real servers, real JavaScript clients, a real browser."""

pytest_plugins = [
    "tests.support.quick",
    "tests.support.servers",
    "tests.support.node",
    "tests.support.wallet",
    "tests.support.browser",
    "tests.support.whole",
]
