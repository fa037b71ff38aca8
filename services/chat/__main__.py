"""`python -m services.chat`: messages, durable before they are acknowledged."""

from libs.common.service import run
from libs.common.settings import DatabaseSettings
from services.chat.app import build

if __name__ == "__main__":
    run("chat", DatabaseSettings, build)
