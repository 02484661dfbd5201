"""Labelled 64 px faces and clips with audio for judges and critics, from the web of the toy world and from a store.

Batch k is a pure function of (seed, k), and some people are kept for the test.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from datamodules.batches import Batch, Moved
from datamodules.endless import EndlessData, item_loader
from datamodules.sampling import generator
from datamodules.splits import Split
from datamodules.store import Store, StoredClip
from face3d.morphable import MorphableModel
from face3d.renderer import Renderer
from lightning_modules.standins.config import JudgesConfig
from metrics.backbones.judges import SIZE
from metrics.functional.sync import MAX_SHIFT
from metrics.speech_features import FRAMES_PER_WINDOW, STEPS_PER_FRAME, STEPS_PER_WINDOW, num_windows, syncnet_mfcc
from toyworld.face.head import procedural_head
from toyworld.pairs import PairSet


@dataclass(frozen=True)
class SpeechClip(Moved):
    """One clip: images and the MFCCs of its audio."""

    id: str
    actor: str
    emotion: str | None
    frames: UInt8[Tensor, "t 3 64 64"]
    mfcc: Float[Tensor, "steps 13"]
    num_windows: int

    @classmethod
    def make(
        cls, id: str, actor: str, emotion: str | None, frames: UInt8[Tensor, "t 3 64 64"], waveform: Tensor
    ) -> "SpeechClip":
        """A clip from images and 16 kHz audio in [-1, 1]."""
        windows = num_windows(len(frames), len(waveform))
        return cls(id, actor, emotion, frames, syncnet_mfcc(waveform), windows)

    def pictures(self, starts: Sequence[int]) -> UInt8[Tensor, "n 5 3 64 64"]:
        """Five frames from each start frame on."""
        return torch.stack([self.frames[start : start + FRAMES_PER_WINDOW] for start in starts])

    def sounds(self, starts: Sequence[int]) -> Float[Tensor, "n 13 20"]:
        """The MFCC steps that sound with the windows from each start frame on."""
        firsts = [start * STEPS_PER_FRAME for start in starts]
        return torch.stack([self.mfcc[first : first + STEPS_PER_WINDOW].T for first in firsts])


def speech_clips(store: Store, clips: Sequence[StoredClip]) -> list[SpeechClip]:
    """Clips that have audio and are long enough for every shift of the protocol."""
    found = []
    for clip in clips:
        if not clip.has_audio or clip.length < MAX_SHIFT + 2 * FRAMES_PER_WINDOW:
            continue
        frames = torch.from_numpy(store.frames(clip, range(clip.length), SIZE)).permute(0, 3, 1, 2).contiguous()
        waveform = torch.from_numpy(np.asarray(store.audio[clip.rows], np.float32).reshape(-1) / 32768)
        found.append(SpeechClip.make(clip.id, clip.actor, clip.emotion, frames, waveform))
    return found


CHUNK = 256


@dataclass(frozen=True)
class FaceBatch(Batch):
    """Images of faces with their labels; images are uint8, landmarks in [-1, 1]."""

    images: UInt8[Tensor, "b 3 64 64"]
    landmarks: Float[Tensor, "b 68 2"]
    emotion: Int[Tensor, " b"]
    person: Int[Tensor, " b"]


def image_tensor(images: UInt8[np.ndarray, "n 64 64 3"]) -> UInt8[Tensor, "n 3 64 64"]:
    """Images as a uint8 tensor, channels first."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


@dataclass(frozen=True)
class Faces:
    """Faces with their labels; all fields have one row for each image."""

    images: UInt8[np.ndarray, "n 64 64 3"]
    landmarks: Float32[np.ndarray, "n 68 2"]
    """True positions, (x, y) in [-1, 1] across the image."""
    emotion: Int64[np.ndarray, " n"]
    """Index in `EMOTIONS`."""
    person: Int64[np.ndarray, " n"]
    coefficients: Float32[np.ndarray, "n 257"]
    placement: Float32[np.ndarray, "n 3"]

    def __len__(self) -> int:
        return len(self.images)

    def batch(self) -> "FaceBatch":
        """Images and labels as tensors."""
        return FaceBatch(
            images=image_tensor(self.images),
            landmarks=torch.from_numpy(self.landmarks),
            emotion=torch.from_numpy(self.emotion),
            person=torch.from_numpy(self.person),
        )

    def select(self, rows: Int64[np.ndarray, " m"] | Bool[np.ndarray, " n"]) -> "Faces":
        """The chosen rows."""
        return Faces(*(getattr(self, field.name)[rows] for field in fields(self)))


def join(parts: Sequence[Faces]) -> Faces:
    """All faces of some sets; persons of different sets stay different."""
    shifted, next_person = [], 0
    for part in parts:
        shifted.append(part.person + next_person)
        next_person += int(part.person.max(initial=-1)) + 1
    arrays = {field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Faces)}
    return Faces(**(arrays | {"person": np.concatenate(shifted)}))


def landmarks_of(
    coefficients: np.ndarray, placement: np.ndarray, model: MorphableModel
) -> Float32[np.ndarray, "n 68 2"]:
    """Landmarks of faces whose coefficients are the truth."""
    renderer = Renderer(model, SIZE)
    with torch.no_grad():
        parts = [
            renderer.keypoints(
                torch.from_numpy(coefficients[i : i + CHUNK]), torch.from_numpy(placement[i : i + CHUNK])
            )
            for i in range(0, len(coefficients), CHUNK)
        ]
    return torch.cat(parts).numpy()


def faces_of_pairs(pairs: PairSet) -> Faces:
    """The images that show one of MEAD's emotions."""
    rows = np.array([index for index, style in enumerate(pairs.style) if style in EMOTIONS])
    coefficients, placement = np.array(pairs.coefficients)[rows], np.array(pairs.placement)[rows]
    return Faces(
        images=np.array(pairs.images)[rows],
        landmarks=landmarks_of(coefficients, placement, procedural_head()),
        emotion=np.array([EMOTIONS.index(pairs.style[row]) for row in rows]),
        person=np.array(pairs.person)[rows],
        coefficients=coefficients,
        placement=placement,
    )


def faces_of_clips(store: Store, clips: Sequence[StoredClip], per_clip: int) -> Faces:
    """Frames evenly taken from clips with a basic label; landmarks are those that the store holds."""
    chosen = [clip for clip in clips if clip.emotion in EMOTIONS and clip.has_landmarks]
    actors = sorted({clip.actor for clip in chosen})
    steps = [np.linspace(0, clip.length - 1, min(per_clip, clip.length)).astype(int) for clip in chosen]
    rows = np.concatenate([clip.start + step for clip, step in zip(chosen, steps, strict=True)] or [np.zeros(0, int)])
    counts = [len(step) for step in steps]
    images = [store.frames(clip, step.tolist(), SIZE) for clip, step in zip(chosen, steps, strict=True)]
    return Faces(
        images=np.concatenate(images or [np.zeros((0, SIZE, SIZE, 3), np.uint8)]),
        landmarks=np.array(store.landmarks[rows]),
        emotion=np.repeat([EMOTIONS.index(clip.emotion or "") for clip in chosen], counts).astype(np.int64),
        person=np.repeat([actors.index(clip.actor) for clip in chosen], counts).astype(np.int64),
        coefficients=np.array(store.exact[rows]),
        placement=np.array(store.placement[rows]),
    )


def held_out_people(person: Int64[np.ndarray, " n"], share: float) -> Bool[np.ndarray, " n"]:
    """True for the faces of the last people (at least one): they are never trained on."""
    people = np.unique(person)
    count = max(1, round(share * len(people)))
    return np.isin(person, people[len(people) - count :])


@dataclass(frozen=True)
class JudgeBatch(Batch):
    """Images with labels, and windows of audio and video from some clips; images are uint8."""

    images: UInt8[Tensor, "b 3 64 64"]
    landmarks: Float[Tensor, "b 68 2"]
    emotion: Int[Tensor, " b"]
    person: Int[Tensor, " b"]
    pictures: UInt8[Tensor, "n 5 3 64 64"]
    sounds: Float[Tensor, "n 13 20"]


class PersonSampler:
    """Draws rows so that each chosen person appears several times."""

    def __init__(self, person: np.ndarray, per_person: int) -> None:
        self.rows = [np.flatnonzero(person == p) for p in np.unique(person)]
        self.per_person = per_person

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        """`count` rows; a person's own rows do not repeat while there are enough of them."""
        chosen: list[np.ndarray] = []
        people = random.permutation(len(self.rows))
        for person in itertools.cycle(people):
            rows = self.rows[person]
            chosen.append(random.permutation(rows)[: self.per_person])
            if sum(map(len, chosen)) >= count:
                return np.concatenate(chosen)[:count]
        raise UserError("judges: there are no faces to train on")


def tested_actors(actors: Sequence[str], share: float) -> Sequence[str]:
    """The last of the judge actors, at least one: their clips are never trained on."""
    return actors[len(actors) - max(1, round(share * len(actors))) :]


class JudgesData(EndlessData):
    """What the judges are trained and tested on: faces and speaking clips of people of no other stage."""

    def __init__(self, config: JudgesConfig, faces: Faces, clips: Sequence[SpeechClip], seed: int) -> None:
        super().__init__()
        actors = sorted({clip.actor for clip in clips})
        if len(actors) < 2:
            raise UserError(f"judges: need clips with audio of at least two judge actors, found {len(actors)}")
        self.config, self.seed = config, seed
        kept = held_out_people(faces.person, config.held_out)
        self.train_faces, self.test_faces = faces.select(~kept), faces.select(kept)
        tested = tested_actors(actors, config.held_out)
        self.train_speech = [clip for clip in clips if clip.actor not in tested]
        self.test_speech = [clip for clip in clips if clip.actor in tested]
        self._people = PersonSampler(self.train_faces.person, config.pictures_per_person)

    @classmethod
    def load(cls, config: JudgesConfig, pairs: PairSet, store: Store, split: Split, seed: int) -> "JudgesData":
        """Everything from the judge images of the toy world and the judge actors' clips of a store."""
        clips = store.clips.where(actor=lambda name: split.role(name) == "judge", kind=["basic"])
        speech = speech_clips(store, clips)
        tested = tested_actors(sorted({clip.actor for clip in speech}), config.held_out)
        frames = faces_of_clips(store, [clip for clip in clips if clip.actor not in tested], config.clip_frames)
        return cls(config, join([frames, faces_of_pairs(pairs)]), speech, seed)

    def test_dataloader(self) -> list[DataLoader]:
        """All faces of the people kept for the test as one `FaceBatch`; then each kept `SpeechClip`."""
        return [item_loader([self.test_faces.batch()]), item_loader(self.test_speech)]

    def batch(self, step: int, rank: int = 0) -> JudgeBatch:
        """Batch number `step`: a pure function of (seed, step, rank)."""
        random = generator(self.seed, step, rank)
        faces = self.train_faces.select(self._people.draw(random, self.config.batch_size))
        pictures, sounds = self._windows(random)
        return JudgeBatch(
            images=image_tensor(faces.images),
            landmarks=torch.from_numpy(faces.landmarks),
            emotion=torch.from_numpy(faces.emotion),
            person=torch.from_numpy(faces.person),
            pictures=pictures,
            sounds=sounds,
        )

    def _windows(self, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Different windows of some clips, clip after clip."""
        chosen = [self.train_speech[i] for i in random.integers(len(self.train_speech), size=self.config.sync_clips)]
        starts = [random.permutation(clip.num_windows)[: self.config.sync_windows].tolist() for clip in chosen]
        pictures = torch.cat([clip.pictures(s) for clip, s in zip(chosen, starts, strict=True)])
        return pictures, torch.cat([clip.sounds(s) for clip, s in zip(chosen, starts, strict=True)])
