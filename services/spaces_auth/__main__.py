"""`python -m services.spaces_auth`: logins, spaces, admission, moderation and analytics."""

from libs.common.service import run
from services.spaces_auth.app import build
from services.spaces_auth.settings import Settings

if __name__ == "__main__":
    run("spaces_auth", Settings, build)
