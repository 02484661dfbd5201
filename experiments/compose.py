"""From a YAML file, a variant's differences and `key=value` words to one frozen dataclass, or one clear error line."""

import dataclasses
import functools
import json
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conventions.errors import UserError, nearest
from conventions.files import reason_of
from experiments.values import Plain, convert, is_section, parse_mapping, parse_yaml, read_text

CONFIGS = Path(__file__).parent / "configs"
T = TypeVar("T")


def dotted_keys(schema: type, prefix: str = "") -> list[str]:
    """Every leaf key of a dataclass tree in dotted form, such as `eac.weights.velocity`."""
    keys: list[str] = []
    for name, kind in field_types(schema).items():
        keys += dotted_keys(kind, f"{prefix}{name}.") if is_section(kind) else [f"{prefix}{name}"]
    return keys


def merge(schema: type[T], *sources: tuple[str, Mapping[str, Any]]) -> T:
    """Merge (label, nested mapping) sources in order over the defaults of `schema`, strictly.

    Values are Python's own, or `Plain`: what a field's type makes of their text. UserError naming the source, the key
    and the nearest valid key when a key is unknown, a value has the wrong type, or the dataclass itself refuses the
    value (ValueError in `__post_init__`).
    """
    typed = [_typed(schema, values, _Place(schema, label)) for label, values in sources]
    labels = ", ".join(label for label, values in sources if values)
    return _build(schema(), functools.reduce(deep_merge, typed, {}), labels, "")


def _refers(values: Any) -> bool:
    if isinstance(values, Mapping):
        return any(map(_refers, values.values()))
    if isinstance(values, list):
        return any(map(_refers, values))
    return isinstance(values, str) and "${" in values


Source = tuple[str, Mapping[str, Any]]


def resolve(schema: type, sources: Sequence[Source]) -> Sequence[Source]:
    """Sources of files with OmegaConf's `${key}` and `${oc.env:NAME}` in place of what they stand for.

    Where a value refers to another, all sources become one, over the defaults of `schema`.
    """
    if not any(_refers(values) for _, values in sources):
        return sources
    labels = ", ".join(label for label, values in sources if values)
    tree = functools.reduce(deep_merge, (values for _, values in sources), dataclasses.asdict(schema()))
    written = json.loads(json.dumps(tree))  # `Plain` is unknown to OmegaConf
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(written), resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{labels}: {reason_of(error)}") from error
    return [(labels, _as_written(tree, resolved))]


def _as_written(tree: Any, resolved: Any) -> Any:
    """The resolved values, but those that refer to no other as they are written."""
    if isinstance(tree, Mapping) and isinstance(resolved, Mapping):
        return {name: _as_written(value, resolved[name]) for name, value in tree.items()}
    if isinstance(tree, list) and isinstance(resolved, list):
        return [_as_written(*pair) for pair in zip(tree, resolved, strict=True)]
    return resolved if _refers(tree) else tree


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """`["eac.steps=200"]` as {"eac": {"steps": "200"}}, values as they are written (`Plain`)."""
    flat: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not all(key.split(".")):
            raise UserError(f"override {word!r}: expected key=value, for example eac.steps=200")
        flat[key] = Plain(value)
    for key in flat:
        if inner := [other for other in flat if other.startswith(f"{key}.")]:
            raise UserError(f"overrides: {key}: is a section of {inner[0]}, not a value")
    return nested(flat)


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"eac.steps": 200} as {"eac": {"steps": 200}}."""
    trees = [functools.reduce(lambda tree, name: {name: tree}, reversed(key.split(".")), v) for key, v in flat.items()]
    return functools.reduce(deep_merge, trees, {})


def deep_merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both nested mappings in one; where they disagree, `other` wins."""
    both = [name for name, value in other.items() if isinstance(value, Mapping) and isinstance(one.get(name), Mapping)]
    return {**one, **other, **{name: deep_merge(one[name], other[name]) for name in both}}


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; unquoted values are `Plain`: their own text, for `merge` to give them the field's type."""
    return parse_mapping(path, read_text(path))


def experiment_texts(experiment: str) -> tuple[str, tuple[tuple[Path, str], ...]]:
    """The experiment's name and its YAML files (path, text), base first; `experiment` is a name or a path."""
    path = _experiment_path(experiment)
    texts = ((path, read_text(path)),)
    while (base := _base(*texts[0])) is not None:
        path = _experiment_path(base, beside=path.parent)
        if any(path.samefile(seen) for seen, _ in texts):
            raise UserError(f"{path}: `base` leads back to {path.name}")
        texts = ((path, read_text(path)), *texts)
    return texts[-1][0].stem, texts


def experiment_sources(texts: Iterable[tuple[Path, str]]) -> list[tuple[str, dict[str, Any]]]:
    """Sources for `merge` from what `experiment_texts` read."""
    parsed = [(path.name, parse_mapping(path, text)) for path, text in texts]
    return [(name, {key: value for key, value in values.items() if key != "base"}) for name, values in parsed]


def experiment_names() -> list[str]:
    """Names of the experiments that come with the project."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


@functools.lru_cache(maxsize=64)
def _base(path: Path, text: str) -> str | None:
    base = parse_mapping(path, text).get("base")
    if base is not None and not isinstance(base, str):
        raise UserError(f"{path}: base: expected the name of an experiment")
    return base


def _experiment_path(experiment: str, beside: Path | None = None) -> Path:
    if experiment.endswith((".yaml", ".yml")):
        return (beside or Path()) / experiment
    if experiment not in experiment_names():
        raise UserError(f"experiment {experiment!r} is unknown{nearest(experiment, experiment_names())}")
    return CONFIGS / f"{experiment}.yaml"


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a value stands, for error lines."""

    root: type
    label: str
    prefix: str = ""

    def inner(self, name: str) -> "_Place":
        return dataclasses.replace(self, prefix=f"{self.prefix}{name}.")

    def error(self, name: str, problem: str) -> UserError:
        return UserError(f"{self.label}: {self.prefix}{name}: {problem}")

    def unknown(self, name: str) -> UserError:
        key = f"{self.prefix}{name}"
        return UserError(f"{self.label}: unknown key {key!r}{_near(self.root, key)}")


def _typed(schema: type, values: Mapping[str, Any], place: _Place) -> dict[str, Any]:
    """Every value as its field's type has it; UserError names the first that is wrong."""
    kinds, typed = field_types(schema), {}
    for name, value in values.items():
        if name not in kinds:
            raise place.unknown(name)
        try:
            section = is_section(kinds[name])
            typed[name] = _section(kinds[name], name, value, place) if section else convert(kinds[name], value)
        except ValueError as error:
            raise place.error(name, reason_of(error)) from error
    return typed


def _section(kind: type, name: str, value: Any, place: _Place) -> dict[str, Any]:
    inner = parse_yaml(value) if isinstance(value, Plain) else value
    if isinstance(inner, str) and (short := getattr(kind, "SHORT", None)):
        inner = dict.fromkeys(field_types(kind), "") | {short: inner}
    if isinstance(inner, list) and (listed := getattr(kind, "LIST", None)):
        inner = {listed: inner}
    if not isinstance(inner, Mapping):
        raise ValueError(f"is a section, not a value; its keys: {', '.join(field_types(kind))}")
    return _typed(kind, inner, place.inner(name))


def _near(schema: type, key: str) -> str:
    keys = dotted_keys(schema)
    parent = key.rpartition(".")[0]
    sections = {".".join(k.split(".")[: i + 1]) for k in keys for i in range(k.count("."))}
    siblings = [k for k in [*keys, *sections] if k.rpartition(".")[0] == parent]
    close = nearest(key, siblings) if siblings else ""
    for end in (close, nearest(key, keys)):
        if "did you mean" in end:
            return end
    same_name = [k for k in keys if k.rpartition(".")[2] == key.rpartition(".")[2]]
    return f"; did you mean {same_name[0]!r}?" if same_name else close


def _build(config: T, values: Mapping[str, Any], label: str, prefix: str) -> T:
    """`config` with other values; its own checks see all of a section's at once."""
    kinds = field_types(type(config))
    changed = {
        name: _build(getattr(config, name), value, label, f"{prefix}{name}.") if is_section(kinds[name]) else value
        for name, value in values.items()
    }
    try:
        return dataclasses.replace(config, **changed)  # type: ignore[type-var]
    except ValueError as error:
        key = prefix.rstrip(".")
        raise UserError(f"{label or 'defaults'}: {f'{key}: ' if key else ''}{reason_of(error)}") from error


@functools.cache
def field_types(schema: type) -> dict[str, Any]:
    """Each field's type."""
    hints = typing.get_type_hints(schema)
    return {field.name: hints[field.name] for field in dataclasses.fields(schema)}
