"""`python -m services.gateway`: the public REST edge."""

from libs.common.service import run
from services.gateway.app import build
from services.gateway.settings import Settings

if __name__ == "__main__":
    run("gateway", Settings, build)
