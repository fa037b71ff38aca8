"""A private Caddy in front of the stack: plain HTTP on one public port of loopback; HTTPS in the network if asked."""

from pathlib import Path

from deploy.local.guardian import REPOSITORY, Guardian
from deploy.local.packages import CADDY, ensure, find
from deploy.local.ports import has_ipv6_loopback
from deploy.local.probes import exchange
from deploy.local.processes import Launch
from deploy.local.servers.base import Process, plain_environment
from deploy.local.servers.lan import Lan
from deploy.local.workplace import Workplace

CADDYFILE = REPOSITORY / "deploy" / "caddy" / "Caddyfile"
LAN_CADDYFILE = CADDYFILE.with_name("lan.Caddyfile")


class Caddy(Process):
    """Caddy with the repository's Caddyfile.

    `upstreams` are the ports of the gateway and of the realtime replicas r1, r2; `secret` is shown to them. `static` is
    the folder of the files that it serves itself. With `lan` it serves that address too, by HTTPS.
    """

    programs = (CADDY,)
    stop_seconds = 8.0

    def __init__(
        self,
        place: Workplace,
        guardian: Guardian,
        port: int,
        upstreams: tuple[int, int, int],
        secret: str,
        static: Path,
        lan: Lan | None = None,
    ) -> None:
        super().__init__("caddy", place, guardian)
        self.lan = lan
        self.port = port
        self.upstreams = upstreams
        self._secret = secret
        self.static = static

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def root_certificate(self) -> Path:
        """The certificate of Caddy's own CA, there once it has served by it."""
        return certificate_folder(self.folder) / "root.crt"

    def prepare(self) -> None:
        ensure(self.programs)
        self.folder.mkdir(exist_ok=True)

    def launch(self) -> Launch:
        file = LAN_CADDYFILE if self.lan else CADDYFILE
        command = (str(find(CADDY)), "run", "--config", str(file), "--adapter", "caddyfile")
        environment = caddy_environment(self.folder, self.port, self.upstreams, self._secret, self.static)
        return Launch(command, self.folder, environment | (lan_environment(self.folder, self.lan) if self.lan else {}))

    async def is_ready(self) -> bool:
        answers = await exchange(self.port, b"OPTIONS * HTTP/1.0\r\n\r\n") != b""
        return answers and (self.lan is None or self.root_certificate.exists())


def certificate_folder(folder: Path) -> Path:
    """Returns where a Caddy whose files are in `folder` keeps its own CA."""
    return folder / "caddy" / "pki" / "authorities" / "local"


def lan_environment(folder: Path, lan: Lan) -> dict[str, str]:
    """Returns the values of the placeholders of lan.Caddyfile."""
    return {
        "PRESENCE_LAN_ADDRESS": lan.address,
        "PRESENCE_LAN_PORT": str(lan.port),
        "PRESENCE_CA": str(certificate_folder(folder)),
        "PRESENCE_CADDY_OPTIONS": "auto_https disable_redirects",  # there is nothing of ours on port 80
    }


def caddy_environment(
    folder: Path, port: int, upstreams: tuple[int, int, int], secret: str, static: Path
) -> dict[str, str]:
    """Returns the values of the Caddyfile's placeholders; Caddy's own files stay in `folder`."""
    gateway, first, second = (f"127.0.0.1:{upstream}" for upstream in upstreams)
    return plain_environment(
        HOME=str(folder),
        XDG_DATA_HOME=str(folder),
        XDG_CONFIG_HOME=str(folder),
        PRESENCE_SITE=f"http://:{port}",
        PRESENCE_BIND="127.0.0.1 [::1]" if has_ipv6_loopback() else "127.0.0.1",
        PRESENCE_PROXY_SECRET=secret,
        PRESENCE_STATIC=str(static),
        PRESENCE_GATEWAY=gateway,
        PRESENCE_REALTIME_R1=first,
        PRESENCE_REALTIME_R2=second,
    )
