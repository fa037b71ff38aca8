"""`python -m services.webhook_dispatcher`: what happens in spaces, POSTed to those who asked for it."""

from libs.common.service import run
from services.webhook_dispatcher.app import build
from services.webhook_dispatcher.settings import Settings

if __name__ == "__main__":
    run("webhook_dispatcher", Settings, build)
