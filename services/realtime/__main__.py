"""`python -m services.realtime`: the public Socket.IO edge."""

from libs.common.service import run
from services.realtime.app import build
from services.realtime.settings import Settings

if __name__ == "__main__":
    run("realtime", Settings, build)
