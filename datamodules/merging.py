"""Several finished stores as one, without preparing any clip again."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from conventions.errors import UserError
from datamodules.disk import space_on
from datamodules.manifest import MANIFEST
from datamodules.packing import pack
from datamodules.parts import part_of, write_part
from datamodules.store import Store


def merge(path: Path, sources: Sequence[Path]) -> Store:
    """Write the store `path` with all clips of `sources`, in their order; a store that has them already is left alone.

    The stores must agree in the pictures' size, the crop and the face model, and no clip's id may be in two of them:
    else a UserError. Further speech features are not merged.
    """
    stores = [Store(source) for source in sources]
    _check(stores)
    origin = {"merged": [store.hash for store in stores]}
    if (path / MANIFEST).is_file() and (done := Store(path)).manifest.get("origin") == origin:
        return done
    if path.is_dir() and any(path.iterdir()) and not (path / MANIFEST).is_file():
        raise UserError(f"{path}: is neither empty nor a store; give a folder of its own")
    path.mkdir(parents=True, exist_ok=True)
    with space_on(path), tempfile.TemporaryDirectory(dir=path, prefix=".parts-") as folder:
        parts = [(store, clip) for store in stores for clip in store.clips]
        written = []
        for number, (store, clip) in enumerate(parts):
            part = part_of(store, clip)
            written.append((Path(folder) / f"{number}.npz", part.meta))
            write_part(written[-1][0], part)
        extra = {key: {} for key in ("styles", "sound_offsets", "row_offsets", "notes")}
        for store in stores:
            for key, values in extra.items():
                values.update(store.manifest.get(key, {}))
        left_out = [item for store in stores for item in store.manifest["left_out"]]
        pack(path, written, stores[0].size, {**extra, "left_out": left_out, "origin": origin})
    return Store(path)


def _check(stores: Sequence[Store]) -> None:
    first = stores[0]
    for store in stores[1:]:
        for name in ("size", "crop", "coefficient_model"):
            if store.manifest[name] != first.manifest[name]:
                raise UserError(
                    f"{store.path}: {name} {store.manifest[name]} differs from {first.manifest[name]} of {first.path}; "
                    "stores of one making can be merged"
                )
    owner: dict[str, Path] = {}
    for store in stores:
        for clip in store.clips:
            if owner.setdefault(clip.id, store.path) != store.path:
                raise UserError(f"{store.path}: clip {clip.id} is in {owner[clip.id]} too")
