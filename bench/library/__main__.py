"""Builds the library, and runs the figures in Node."""

import subprocess
from pathlib import Path

from bench import machine

LIBRARY = Path(__file__).parents[2] / "clients" / "js"


def main() -> None:
    print(f"# Client library\n\n{', '.join(machine.description().values())}\n", flush=True)
    subprocess.run(["node", "scripts/build.mjs"], cwd=LIBRARY, check=True)
    subprocess.run(["node", Path(__file__).with_name("figures.mjs")], check=True)


if __name__ == "__main__":
    main()
