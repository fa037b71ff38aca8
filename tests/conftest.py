"""Plugins of every test: real servers, real JavaScript clients, a real browser."""

pytest_plugins = ["tests.support.servers", "tests.support.node", "tests.support.browser", "tests.support.whole"]
