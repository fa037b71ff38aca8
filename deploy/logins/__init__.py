"""A login of its own for each service at each server, with what that service needs there and nothing else.

Compose runs `python -m deploy.logins`; the local stack and the tests call the same functions.
"""
