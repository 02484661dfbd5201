"""Batches for the judges: batch k is a pure function of (seed, k), and some people are kept for the test."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from conventions.errors import UserError
from datamodules.batches import Batch
from datamodules.endless import EndlessData, item_loader
from datamodules.sampling import generator
from datamodules.splits import Split
from datamodules.store import Store
from lightning_modules.standins.config import JudgesConfig
from lightning_modules.standins.judges.faces import (
    Faces,
    faces_of_clips,
    faces_of_pairs,
    held_out_people,
    image_tensor,
    join,
)
from lightning_modules.standins.judges.speech import SpeechClip, speech_clips
from toyworld.pairs import PairSet


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
