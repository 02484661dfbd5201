"""Several finished stores as one, without preparing any clip again."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from conventions.errors import UserError
from datamodules.disk import space_on
from datamodules.manifest import MANIFEST
from datamodules.packing import finish
from datamodules.parts import PARTS
from datamodules.shards import SHARDS, Shard, read_shard, write_shard
from datamodules.store import Store
from datamodules.store_lock import locked


def merge(path: Path, sources: Sequence[Path]) -> Store:
    """Write the store `path` with all clips of `sources`; a store that has them already is left alone.

    The stores must agree in the pictures' size, the crop and the face model, and no clip's id may be in two of them:
    else a UserError. Further speech features are not merged.
    """
    stores = [Store(source) for source in sources]
    _check(stores)
    origin = {"merged": [store.hash for store in stores]}
    if (path / MANIFEST).is_file() and (done := Store(path)).manifest.get("origin") == origin:
        return done
    if path.is_dir() and any(path.iterdir()) and not any((path / name).exists() for name in (MANIFEST, PARTS)):
        raise UserError(f"{path}: is neither empty nor a store; give a folder of its own")
    path.mkdir(parents=True, exist_ok=True)
    with space_on(path), locked(path):
        (path / SHARDS).mkdir(exist_ok=True)
        groups: dict[str, list[Shard]] = {}
        for shard in (shard for store in stores for shard in _shards(store)):
            groups.setdefault(shard.group, []).append(shard)
        shards = [_merged(path, shards, stores[0].size) for shards in groups.values()]
        styles = {name: style for store in stores for name, style in store.manifest.get("styles", {}).items()}
        left_out = [item for store in stores for item in store.left_out]
        finish(path, shards, stores[0].size, left_out, {"styles": styles, "origin": origin})
    return Store(path)


def _shards(store: Store) -> list[Shard]:
    found = [(name, read_shard(store.path / SHARDS / name)) for name in store.manifest["shards"]]
    if missing := [name for name, shard in found if shard is None]:
        raise UserError(f"{store.path / SHARDS / missing[0]}: cannot be read: prepare the store again")
    return [shard for _, shard in found if shard is not None]


def _merged(path: Path, shards: Sequence[Shard], size: int) -> Shard:
    """The shard of a group in the new store: a copy, or one with the clips of several, by id."""
    if len(shards) > 1:
        clips = [shard.source(number) for shard in shards for number in range(len(shard.clips))]
        return write_shard(path, shards[0].group, size, sorted(clips, key=lambda clip: clip[0]["id"]))
    place = path / SHARDS / shards[0].name
    if (there := read_shard(place)) is not None:
        return there
    partial = path / SHARDS / f".{shards[0].name}.partial"
    shutil.copytree(shards[0].path, partial, ignore=shutil.ignore_patterns("speech.*"))
    partial.rename(place)
    copied = read_shard(place)
    assert copied is not None
    return copied


def _check(stores: Sequence[Store]) -> None:
    first = stores[0]
    for store in stores[1:]:
        for name in ("size", "crop", "coefficient_model"):
            if store.manifest[name] != first.manifest[name]:
                raise UserError(
                    f"{store.path}: {name} {store.manifest[name]} differs from {first.manifest[name]} of {first.path}; "
                    "only stores of one size, crop and face model can be merged"
                )
    owner: dict[str, Path] = {}
    for store in stores:
        for clip in store.clips:
            if owner.setdefault(clip.id, store.path) != store.path:
                raise UserError(f"{store.path}: clip {clip.id} is in {owner[clip.id]} too")
