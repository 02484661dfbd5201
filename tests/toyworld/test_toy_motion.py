"""How toy faces move, and the model of a monocular tracker: seeded, lossy in the way of a landmark fit."""

import itertools

import numpy as np
import pytest
import torch
from jaxtyping import Float32

from conventions.emotions import EMOTIONS
from datamodules.coefficients import project_keypoints
from face3d.camera import rotation
from face3d.coefficients import ANGLE, EXPRESSION, GAMMA, IDENTITY, NUM_COEFFICIENTS, TEXTURE
from face3d.fitting import fit_landmarks, refit
from face3d.morphable import PROCEDURAL, load_model
from toyworld import rng_of
from toyworld.action_units import HEAD_UNITS, UNITS, axes, unit_vector, units_vector
from toyworld.dynamics import HEAD_ANGLES, course, frame_times, manner_of, stresses
from toyworld.emotions import PATTERNS, UNSEEN_STYLES, Timing, styles_json, voice_parts
from toyworld.face.head import EXPRESSION_NAMES
from toyworld.lexicon import caption, corpus, lexicon, vocabulary
from toyworld.performance import Performance, emotion_track, perform
from toyworld.prosody import PROSODY
from toyworld.speech import Phoneme
from toyworld.tracker import CLIP, FRAME, MEMORY, PERSON, landmark_errors, measured
from toyworld.visemes import is_vowel, mouth, viseme_name

PHONEMES = (Phoneme("m", 0.2, 0.3), Phoneme("A:", 0.3, 0.5, 2), Phoneme("p", 0.5, 0.6), Phoneme("u:", 0.6, 0.8, 2))


def clip(emotion: str = "happy", level: int = 3, actor: str = "M001", text: str = "We found a map.") -> Performance:
    return perform(actor, np.zeros(257, np.float32), text, emotion, level, seed=0)


def test_every_style_has_units_a_source_a_voice_and_words() -> None:
    assert set(EMOTIONS) < set(PATTERNS)
    kinds = [PATTERNS[name].kind for name in UNSEEN_STYLES]
    assert kinds.count("compound") >= 10
    assert kinds.count("new") >= 8
    for name, pattern in PATTERNS.items():
        assert any(character.isdigit() for character in pattern.source)
        assert all(u.rstrip("LR") in {*UNITS, *HEAD_UNITS} and 0 < s <= 1 for u, s in pattern.units.items())
        assert set(voice_parts(name)) <= set(PROSODY)
        assert lexicon().emotions[name]
    assert set(styles_json()) == set(UNSEEN_STYLES)
    assert set(lexicon().emotions) == set(PATTERNS)


def test_patterns_differ_from_each_other() -> None:
    moved = {
        name: np.append(units_vector(p.units), [p.units.get(unit, 0) for unit in HEAD_UNITS])
        for name, p in PATTERNS.items()
    }
    names = list(moved)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert np.abs(moved[one] - moved[other]).max() > 0.25, (one, other)


def test_a_sided_unit_moves_one_side() -> None:
    left, right = (EXPRESSION_NAMES.index(f"lip_corner_puller_{side}") for side in ("left", "right"))
    assert unit_vector("12R")[right] == 1
    assert unit_vector("12R")[left] == 0
    assert unit_vector("12")[left] == unit_vector("12")[right] == 1
    assert not unit_vector("54").any()


def test_upper_and_lower_face_make_the_whole() -> None:
    units = PATTERNS["fear"].units
    np.testing.assert_allclose(units_vector(units, True) + units_vector(units, False), units_vector(units))


def test_lips_shut_for_bilabials_and_open_for_open_vowels() -> None:
    time = (np.arange(100) + 0.5) / 100
    channels = mouth(PHONEMES, 100, rate=100.0)
    at = {name: lambda t, name=name: channels[name][np.abs(time + 0.02 - t).argmin()] for name in channels}
    assert at["lips_part"](0.25) < 0.1 < 0.35 < at["lips_part"](0.4)
    assert at["jaw_open"](0.4) > 0.6 > 0.3 > at["jaw_open"](0.55)
    assert at["closure"](0.25) > 0.8
    assert at["lip_pucker"](0.7) > 0.5 > at["lip_pucker"](0.4)
    assert channels["jaw_open"][0] < 0.05


def test_a_weak_sound_takes_its_neighbours_shape() -> None:
    """Coarticulation: lips are round during the k of "oo-k-oo" and spread during that of "ee-k-ee"."""

    def rounding(vowel: str) -> float:
        sounds = (Phoneme(vowel, 0.2, 0.4, 2), Phoneme("k", 0.4, 0.5), Phoneme(vowel, 0.5, 0.7, 2))
        return float(mouth(sounds, 90, rate=100.0)["lip_pucker"][43])

    assert rounding("u:") > 0.4 > 0.1 > rounding("i:")


def test_unlisted_phonemes_fall_back_to_a_class() -> None:
    assert viseme_name("pF") == "bilabial"
    assert viseme_name("&&") == "central"
    assert is_vowel("aI")
    assert not is_vowel("k")


@pytest.mark.parametrize("actor", ["M001", "W001", "M005", "W006"])
def test_mouth_and_sound_are_in_step(actor: str) -> None:
    """Mouth opening against the sound's envelope: on the whole the best lag is 0 frames, never beyond one."""
    jaw, lips = axes("jaw_open")[0], axes("lips_part")[0]
    total = np.zeros(11)
    for number, text in enumerate(lexicon().sentences[:6]):
        shown = clip(("neutral", "happy", "angry")[number % 3], 1, actor, text)
        frames = shown.utterance.num_frames
        envelope = np.sqrt((shown.utterance.waveform.reshape(frames, -1) ** 2).mean(1))
        expression = shown.coefficients[:, EXPRESSION]
        opening = expression[:, jaw] + 0.5 * expression[:, lips]
        one, other = envelope - envelope.mean(), opening - opening.mean()
        for lag in range(-5, 6):
            pair = one[max(0, -lag) : frames - max(0, lag)], other[max(0, lag) : frames - max(0, -lag)]
            total[lag + 5] += np.corrcoef(*pair)[0, 1] / 6
    assert abs(int(total.argmax()) - 5) <= 1
    assert total.max() > 0.4


def test_same_clip_same_numbers_and_other_seeds_differ() -> None:
    one, other = clip(), clip()
    np.testing.assert_array_equal(one.coefficients, other.coefficients)
    np.testing.assert_array_equal(one.utterance.waveform, other.utterance.waveform)
    assert not np.array_equal(clip(actor="M002").coefficients[:30], one.coefficients[:30])


def test_levels_grow_and_bilabials_beat_the_emotion() -> None:
    smile = axes("lip_corner_puller")
    means = [clip("happy", level).coefficients[:, EXPRESSION][:, smile].mean() for level in (1, 2, 3)]
    assert means[0] < means[1] < means[2]
    shown = clip("surprised", 3, text="Mama made a map.")
    first = shown.utterance.phonemes[0]
    frame = int((first.start + first.end) / 2 * 25)
    assert shown.coefficients[frame, EXPRESSION][axes("lips_part")[0]] < 0.3


def test_course_rises_from_a_baseline_decays_and_ends() -> None:
    values = course(Timing(begin=0.0, rise=0.2, sustain=0.4, decay=0.1, emphasis=0.0), PHONEMES, 40)
    time = frame_times(40)
    assert values[0] == pytest.approx(0.3)
    assert values.max() == pytest.approx(values[(time > 0.3) & (time < 0.5)].max())
    assert 0.35 < values[(time > 0.75) & (time < 0.85)].mean() < 0.5
    assert values[-1] < 0.6 * 0.4 + 1e-6


def test_emphasis_follows_stress_and_the_last_stress_is_the_strongest() -> None:
    assert stresses(PHONEMES) == [(pytest.approx(0.4), 0.5), (pytest.approx(0.7), 1.0)]
    pattern, manner = PATTERNS["surprised"], manner_of("M001", 0)
    brow = axes("inner_brow_raiser")[0]
    track = emotion_track(pattern, 1.0, PHONEMES, 40, manner)[:, brow]
    flat = emotion_track(pattern, 1.0, tuple(Phoneme(p.symbol, p.start, p.end) for p in PHONEMES), 40, manner)[:, brow]
    push, time = track - flat, frame_times(40)
    assert abs(time[push.argmax()] - 0.7 - manner.lag) < 0.06
    assert push.max() > 1.5 * push[time < 0.5].max() > 0


def test_asymmetric_actors_and_blinks_stay_in_range() -> None:
    for emotion in PATTERNS:
        values = clip(emotion, 2).coefficients[:, EXPRESSION]
        assert np.isfinite(values).all()
        assert values[:, :52].min() >= 0
        assert values[:, :52].max() <= 1.25


def test_captions_use_the_vocabulary_and_agree_with_their_article() -> None:
    words = set(vocabulary())
    for line in corpus(400, 0):
        assert set(line.split()) <= words
        tokens = line.split()
        for article, noun in itertools.pairwise(tokens):
            if article in ("a", "an"):
                assert (article == "an") == (noun[0] in "aeiou"), line
    assert caption("happy", 1, rng_of(0, "x"), "man") == caption("happy", 1, rng_of(0, "x"), "man")
    assert sum(len(each) for each in lexicon().emotions.values()) >= 80


def test_corpus_is_a_function_of_its_seed() -> None:
    assert corpus(50, 1) == corpus(50, 1) != corpus(50, 2)


@pytest.mark.parametrize(("unit", "axis", "sign"), [("53", 1, 1), ("54", 1, -1), ("51", 0, 1), ("52", 0, -1)])
def test_head_units_turn_the_face_where_their_names_say(unit: str, axis: int, sign: int) -> None:
    """Model space: x to the person's left, y up, z out of the face."""
    turned = torch.tensor([0.0, 0.0, 1.0]) @ rotation(torch.tensor(HEAD_ANGLES[unit]))
    assert sign * turned[axis] > 0.1


def test_tilt_left_brings_the_crown_to_the_left() -> None:
    crown = torch.tensor([0.0, 1.0, 0.0]) @ rotation(torch.tensor(HEAD_ANGLES["55"]))
    assert crown[0] > 0.1


NAMES = ("M001", "happy", "3", "1")
FRAMES = 30


def acted(frames: int = FRAMES) -> tuple[Float32[np.ndarray, "t 257"], Float32[np.ndarray, "t 3"]]:
    """A face that opens its mouth, lowers its brows, smiles, looks aside and turns."""
    random, time = np.random.default_rng(0), np.linspace(0, 2 * np.pi, frames)
    rows = np.zeros((frames, NUM_COEFFICIENTS), np.float32)
    rows[:, IDENTITY], rows[:, TEXTURE] = random.normal(0, 0.5, 80), random.normal(0, 0.5, 80)
    rows[:, GAMMA] = 0.1
    rows[:, ANGLE.start] = 0.1 * np.sin(time)
    for name, phase in (
        ("jaw_open", 0.0),
        ("brow_lowerer_left", 1.0),
        ("lip_corner_puller_left", 2.0),
        ("gaze_left", 3),
    ):
        rows[:, EXPRESSION.start + EXPRESSION_NAMES.index(name)] = 0.5 + 0.5 * np.sin(time + phase)
    return rows, np.tile(np.array([0.7, 0, 0], np.float32), (frames, 1))


def axis(rows: np.ndarray, name: str) -> np.ndarray:
    return rows[:, EXPRESSION][:, EXPRESSION_NAMES.index(name)]


def test_what_is_measured_follows_seed_and_clip() -> None:
    rows, places = acted(6)
    first = measured(rows, places, 0, NAMES)
    assert np.array_equal(first, measured(rows, places, 0, NAMES))
    assert not np.array_equal(first, measured(rows, places, 1, NAMES))
    assert not np.array_equal(first, measured(rows, places, 0, (*NAMES[:3], "2")))


def test_landmarks_lose_gaze_shrink_movements_and_leave_skin_and_light() -> None:
    rows, places = acted()
    found = measured(rows, places, 0, NAMES)
    assert np.array_equal(found[:, TEXTURE], rows[:, TEXTURE])
    assert np.array_equal(found[:, GAMMA], rows[:, GAMMA])
    assert axis(found, "gaze_left").std() < 0.05
    for name, least, most in (
        ("jaw_open", 0.7, 1.2),
        ("brow_lowerer_left", 0.1, 0.9),
        ("lip_corner_puller_left", 0.1, 1),
    ):
        true, got = axis(rows, name), axis(found, name)
        assert least < np.polyfit(true, got, 1)[0] < most, name
        assert np.corrcoef(true, got)[0, 1] > 0.6, name
    angle_error = (found - rows)[:, ANGLE]
    assert 1e-4 < np.abs(angle_error).mean() < 0.05
    assert np.abs((found - rows)[:, IDENTITY]).mean() > 0.05


def test_errors_of_landmarks_have_the_stated_deviations() -> None:
    people = np.stack([landmark_errors(2000, 0, (f"M{i:03d}", "clip")) for i in range(12)])
    still = people.mean(1)
    expected = [np.hypot(PERSON["mouth"][k], CLIP["mouth"][k]) for k in range(2)]
    assert still[:, 48:].std((0, 1)) == pytest.approx(expected, rel=0.2)
    moving = people - still[:, None]
    assert moving[:, :, 48:].std((0, 1, 2)) == pytest.approx(FRAME["mouth"], rel=0.1)
    assert (moving[:, 1:] * moving[:, :-1]).mean() / np.square(moving).mean() == pytest.approx(MEMORY, abs=0.05)


def test_the_short_fit_is_near_the_whole_one() -> None:
    rows, places = acted(12)
    model, truth = load_model(PROCEDURAL), torch.from_numpy(rows)
    noise = torch.randn(12, 68, 2, generator=torch.Generator().manual_seed(0)) * 0.003
    landmarks = torch.from_numpy(project_keypoints(PROCEDURAL, rows, places)) + noise
    short = refit(model, landmarks, torch.from_numpy(places), truth)
    whole = fit_landmarks(model, landmarks, placement=torch.from_numpy(places))
    one, other = short.coefficients[:, EXPRESSION].flatten(), whole.coefficients[:, EXPRESSION].flatten()
    assert float(torch.corrcoef(torch.stack([one, other]))[0, 1]) > 0.95
    assert float((short.error - whole.error).abs().max()) < 0.004
