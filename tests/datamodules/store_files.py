"""What two stores are compared by."""

import hashlib
from pathlib import Path


def contents(store: Path) -> dict[str, str]:
    """SHA-256 of every file of a store."""
    files = sorted(path for path in store.rglob("*") if path.is_file())
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
