"""`python -m services.chat`: messages, comments and notifications, durable before they are acknowledged."""

from libs.common.service import run
from services.chat.app import build
from services.chat.settings import Settings

if __name__ == "__main__":
    run("chat", Settings, build)
