"""Plugins of every test: real servers, and real JavaScript clients."""

pytest_plugins = ["tests.support.servers", "tests.support.node", "tests.support.whole"]
