"""Build the environment (`make env`): a virtual environment with emospace and exactly the versions of constraints.txt.

Idempotent: a stamp inside the environment holds the hash of pyproject.toml and constraints.txt and the checkout that
is installed, and nothing happens while both agree.
"""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def fingerprint() -> str:
    """Hash of what decides the environment's content."""
    digest = hashlib.sha256(f"python {sys.version_info[:2]}".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()[:16]


def install(folder: Path, *arguments: str) -> None:
    """Run pip in the environment, quietly; its errors end this program."""
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *arguments]
    subprocess.run([*command, "--editable", ".[dev]"], cwd=ROOT, check=True)


def main(folder: Path) -> None:
    """Make, complete or re-point the environment in `folder`."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this runs before the environment is there
        sys.exit(f"emospace needs Python 3.11 or newer; this is {sys.version.split()[0]} (make PYTHON=python3.12 env)")
    stamp = folder / "emospace.stamp"
    known = stamp.read_text().splitlines() if stamp.exists() else ["", ""]
    if known == [fingerprint(), str(ROOT)]:
        return
    if not (folder / "bin" / "python").exists():
        print(f"making the environment in {folder}", flush=True)
        venv.create(folder, with_pip=True)
    if known[0] == fingerprint():
        install(folder, "--no-deps")
    else:
        print("installing packages: about 7 GB with PyTorch's libraries, some minutes", flush=True)
        install(folder, "--constraint", "constraints.txt")
    stamp.write_text(f"{fingerprint()}\n{ROOT}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".venv").absolute())
