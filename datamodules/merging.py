"""Stores from stores: merged, filtered, or grown by the clips of others, without preparing any clip again."""

import secrets
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from conventions.errors import UserError, nearest
from conventions.files import space_on, write_text
from datamodules.locks import locked
from datamodules.manifest import MANIFEST
from datamodules.packing import finish
from datamodules.parts import PARTS
from datamodules.shards import SHARD, SHARDS, Shard, finish_shard, read_shard, write_shard
from datamodules.splits import ROLES, SPLIT, Split
from datamodules.store import Store

COLUMNS = ("id", "actor", "emotion", "level", "kind", "view", "source")
"""What clips can be selected by."""

Only = Mapping[str, Collection[str]]
"""Values, as text, by column; every column has to fit."""
Chosen = tuple[Shard, list[int]]
"""The numbers of the clips that are taken from a shard."""


def merge(path: Path, sources: Sequence[Path], only: Only | None = None) -> Store:
    """Write the store `path` with the clips of `sources`, or those that `only` selects.

    A store that has them already is left alone. `path` may be one of the sources: it then grows, and its shards stay
    where they are. A shard whose clips are all taken is copied with the speech features that were added to it; one
    with clips of several stores, or with some of its clips, is written anew without. The stores must agree in the
    images' size, the crop and the face model, no clip's id may be in two of them, and none of the clips that `path`
    has may be missing: else a UserError.
    """
    stores, only = [Store(source) for source in sources], dict(only or {})
    _check(stores, only)
    origin: dict[str, Any] = {"merged": [store.hash for store in stores]}
    origin |= {"only": {name: sorted(values) for name, values in only.items()}} if only else {}
    there = Store(path) if (path / MANIFEST).is_file() else None
    if there is not None and there.manifest.get("origin") == origin:
        return there
    ours = (MANIFEST, PARTS, SHARDS)
    if path.is_dir() and any(path.iterdir()) and not any((path / name).exists() for name in ours):
        raise UserError(f"{path}: is neither empty nor a store; give a folder of its own")
    chosen = [(shard, numbers) for store in stores for shard in _shards(store) if (numbers := _passing(shard, only))]
    _check_ids(path, stores, chosen, there)
    path.mkdir(parents=True, exist_ok=True)
    with space_on(path), locked(path):
        (path / SHARDS).mkdir(exist_ok=True)
        groups: dict[str, list[Chosen]] = {}
        for shard, numbers in chosen:
            groups.setdefault(shard.group, []).append((shard, numbers))
        shards = [_merged(path, parts) for parts in groups.values()]
        _write_split(stores, path)
        left_out, beside = _beside(stores, shards)
        finish(path, shards, stores[0].size, left_out, {**beside, "origin": origin})
    return Store(path)


def _shards(store: Store) -> list[Shard]:
    found = [(name, read_shard(store.path / SHARDS / name)) for name in store.manifest["shards"]]
    if missing := [name for name, shard in found if shard is None]:
        raise UserError(f"{store.path / SHARDS / missing[0] / SHARD}: cannot be read: prepare the store again")
    return [shard for _, shard in found if shard is not None]


def _passing(shard: Shard, only: Only) -> list[int]:
    """The numbers of a shard's clips that are selected."""
    return [n for n, clip in enumerate(shard.clips) if all(str(clip[name]) in values for name, values in only.items())]


def _merged(path: Path, parts: Sequence[Chosen]) -> Shard:
    """The shard of a group in the new store: the one that is there, a copy, or one with the clips taken, by id."""
    shard, numbers = parts[0]
    if len(parts) > 1 or len(numbers) < len(shard.clips):
        clips = [shard.source(number) for shard, numbers in parts for number in numbers]
        return write_shard(path, shard.group, shard.size, sorted(clips, key=lambda clip: clip[0]["id"]))
    if shard.path.parent.resolve() == (path / SHARDS).resolve():
        return shard
    partial = path / SHARDS / f".{secrets.token_hex(8)}.partial"
    try:
        shutil.copytree(shard.path, partial, ignore=shutil.ignore_patterns(".*"))
        return finish_shard(path, Shard(partial, shard.group, shard.size, shard.clips, shard.origin, shard.files))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _check(stores: Sequence[Store], only: Only) -> None:
    for name in only.keys() - set(COLUMNS):
        raise UserError(f"{name}: clips have no such column{nearest(name, COLUMNS)}; there are {', '.join(COLUMNS)}")
    first = stores[0]
    for store in stores[1:]:
        for name in ("size", "crop", "coefficient_model"):
            if store.manifest[name] != first.manifest[name]:
                raise UserError(
                    f"{store.path}: {name} {store.manifest[name]} differs from {first.manifest[name]} of {first.path}; "
                    "only stores of one size, crop and face model can be merged"
                )


def _check_ids(path: Path, stores: Sequence[Store], chosen: Iterable[Chosen], there: Store | None) -> None:
    counts = Counter(shard.clips[number]["id"] for shard, numbers in chosen for number in numbers)
    if not counts:
        raise UserError(f"{', '.join(str(store.path) for store in stores)}: no clip is selected")
    for name, count in counts.items():
        if count > 1:
            first, second = (s.path for s in stores if any(clip.id == name for clip in s.clips))
            raise UserError(f"{second}: clip {name} is in {first} too")
    lost = [clip.id for clip in there.clips if clip.id not in counts] if there is not None else []
    if lost:
        raise UserError(
            f"{path}: has {len(lost)} clips that would be lost, for example {lost[0]}; "
            "name it among the stores to keep them, or give another folder"
        )


def _beside(stores: Sequence[Store], shards: Sequence[Shard]) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """What the stores left out, and the styles and further speech features that their manifests name."""
    left_out = [item for store in stores for item in store.left_out]
    styles = {name: kind for store in stores for name, kind in store.manifest.get("styles", {}).items()}
    names, speech = {shard.path.name for shard in shards}, {}
    for store in stores:
        for name, entry in store.manifest.get("speech", {}).items():
            held = speech.setdefault(name, {**entry, "shards": {}})
            if held["digest"] == entry["digest"]:
                held["shards"] |= {shard: digest for shard, digest in entry["shards"].items() if shard in names}
    return left_out, {"styles": styles, "speech": {name: entry for name, entry in speech.items() if entry["shards"]}}


def _write_split(stores: Iterable[Store], path: Path) -> None:
    """The roles that the stores' manifests of clips named, joined; none where they named none."""
    splits = [Split.load(str(store.path / SPLIT)) for store in stores if (store.path / SPLIT).exists()]
    actors = {role: sorted({name for split in splits for name in split.actors.get(role, ())}) for role in ROLES}
    named = {"name": "manifest", **{role: names for role, names in actors.items() if names}}
    if splits:
        Split.from_dict(named, path / SPLIT)
        write_text(path / SPLIT, yaml.safe_dump(named, sort_keys=False, allow_unicode=True))
