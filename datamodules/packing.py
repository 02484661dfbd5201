"""From finished shards to a store: the index of all clips, the report, and last the manifest."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from conventions.files import write_bytes, write_json
from datamodules.arrays import EXACT
from datamodules.crop import CROP
from datamodules.index import columns_of, index_bytes
from datamodules.manifest import FORMAT, MANIFEST, VERSION, content_hash, read_whole_manifest
from datamodules.parts import digest
from datamodules.shards import SHARDS, Shard


def finish(
    store: Path, shards: Sequence[Shard], size: int, left_out: list[dict[str, str]], extra: dict[str, Any]
) -> dict[str, Any]:
    """Make a store of shards that lie in it, and return the manifest, which is written last.

    Until then the store is what it was before; then what it does not name is removed. `extra` goes into the manifest
    beside the content: it takes no part in the content hash. Speech features that were added to a shard stay with it.
    """
    shards = sorted(shards, key=lambda shard: (shard.group, shard.hash))
    check_ids(store, (clip["id"] for shard in shards for clip in shard.clips))
    index = index_of(shards)
    notes = {item["id"]: item["notes"] for shard in shards for item in shard.entries if item["notes"]}
    report = {"left_out": left_out, "notes": notes}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "hash": "",
        "size": size,
        "crop": CROP,
        "coefficient_model": _common_model(shards),
        "clips": sum(len(shard.clips) for shard in shards),
        "frames": sum(shard.frames for shard in shards),
        "shards": {shard.path.name: _facts(shard) for shard in shards},
        "index": index_name(index),
        "report": f"report.{digest(report)[:16]}.json",
        "speech": _kept_speech(store, shards),
        **extra,
    }
    manifest["hash"] = content_hash(manifest)
    write_bytes(store / manifest["index"], index)
    write_json(store / manifest["report"], report)
    write_json(store / MANIFEST, manifest)
    _remove_others(store, manifest)
    return manifest


def _facts(shard: Shard) -> dict[str, Any]:
    return {"hash": shard.hash, "clips": len(shard.clips), "frames": shard.frames, "exact": EXACT in shard.forms}


def index_of(shards: Sequence[Shard]) -> bytes:
    """The index of all clips of shards, in order."""
    return index_bytes(columns_of([entry for shard in shards for entry in shard.entries]))


def index_name(index: bytes) -> str:
    """The file name of an index, which its content gives."""
    return f"clips.{hashlib.sha256(index).hexdigest()[:16]}.npz"


def check_ids(store: Path, ids: Iterable[str]) -> None:
    """UserError where two clips of a store would have one id."""
    if doubles := [name for name, count in Counter(ids).items() if count > 1]:
        raise UserError(f"{store}: {len(doubles)} clips would be in the store twice, for example {doubles[0]}")


def _common_model(shards: Sequence[Shard]) -> str | None:
    """The one face model whose coefficients the clips have."""
    examples = {item["model"]: item["id"] for shard in shards for item in reversed(shard.entries) if item["model"]}
    if len(examples) > 1:
        named = ", ".join(f"{model} ({examples[model]})" for model in sorted(examples))
        raise UserError(f"coefficients of several face models: {named}; prepare them into separate stores")
    return next(iter(examples), None)


def _kept_speech(store: Path, shards: Sequence[Shard]) -> dict[str, Any]:
    """The speech features that were added to these shards before."""
    try:
        held = read_whole_manifest(store).get("speech", {})
    except UserError:
        return {}
    names = {shard.path.name for shard in shards}
    kept = {name: {**e, "shards": {k: v for k, v in e["shards"].items() if k in names}} for name, e in held.items()}
    return {name: entry for name, entry in kept.items() if entry["shards"]}


def _remove_others(store: Path, manifest: dict[str, Any]) -> None:
    """Remove shards, indices and reports that the manifest does not name."""
    for shard in (store / SHARDS).iterdir():
        if shard.name not in manifest["shards"]:
            shutil.rmtree(shard)
    for file in (*store.glob("clips.*.npz"), *store.glob("report.*.json")):
        if file.name not in (manifest["index"], manifest["report"]):
            file.unlink()
