"""`python -m deploy.local.sign ACCOUNT`: sign a login challenge as Hive Keychain would.

The challenge comes from --challenge or from standard input, as text or as the whole JSON answer of
POST /api/auth/challenge. Prints the signature, 130 hex digits; with --login the body of POST /api/auth/login.
"""

import argparse
import json
import sys

from deploy.local.keys import PASSWORD, private_key, sign


def challenge_text(given: str) -> str:
    """The text to sign: the `challenge` of a JSON object, or what was given, without the shell's last newline."""
    text = given.removesuffix("\n")
    try:
        answer = json.loads(text)
    except ValueError:
        return text
    return str(answer["challenge"]) if isinstance(answer, dict) and "challenge" in answer else text


def main() -> None:
    """Read, sign, print."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.sign", description="Sign as Hive Keychain would.")
    parser.add_argument("account", help="whose key signs; one of the test accounts: alice, bob, carol, dave")
    parser.add_argument("--challenge", help="the text to sign; default: standard input")
    parser.add_argument("--password", default=PASSWORD, help="the account's password (default: the test accounts')")
    parser.add_argument("--role", default="posting", help="whose key: posting (default), active, owner, memo")
    parser.add_argument("--login", action="store_true", help="print the body of POST /api/auth/login instead")
    parser.add_argument("--for", dest="logs_in", help="who logs in, if another account (erin, by alice's key)")
    given = parser.parse_args()
    text = challenge_text(given.challenge if given.challenge is not None else sys.stdin.read())
    signature = sign(text, private_key(given.account, given.role, given.password))
    print(login_body(given.logs_in or given.account, text, signature) if given.login else signature)


def login_body(account: str, challenge: str, signature: str) -> str:
    """Returns the body of POST /api/auth/login, as JSON."""
    return json.dumps({"account": account, "challenge": challenge, "signature": signature})


if __name__ == "__main__":
    main()
