"""The emotion space: text, image and audio encoders and the intensity head behind one `EmotionEncoder`."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

from conventions.errors import UserError
from datamodules.config import HUGGING_FACE, VOICE
from lightning_modules.ame.config import STANDIN, TEXT_SOURCES, AMEConfig, TextConfig
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder, Modality
from lightning_modules.ame.encoders import AudioEncoder, FeatureEncoder, TrainedImage
from lightning_modules.ame.intensity import IntensityHead
from lightning_modules.ame.sources import ClipImage, ClipText, GPT2Text, SentenceText, TextSource
from lightning_modules.ame.towers import ClipParts, GPT2Parts, load_clip, load_gpt2, load_sentence_encoder
from lightning_modules.training.configs import as_config, as_plain
from lightning_modules.training.parents import FrozenParts, Recipe, rebuild


class EmotionSpace(FrozenParts, EmotionEncoder):
    """Encoders of text, image and audio into one space.

    Args:
        config: settings of AME.
        text: encoder of texts.
        image: encoder of face images; None: the space does not take images.
        audio: encoder of speech.
        intensity: head that reads the intensity token from a vector.
    """

    def __init__(
        self,
        config: AMEConfig,
        text: TextSource,
        image: ClipImage | TrainedImage | None,
        audio: AudioEncoder | FeatureEncoder,
        intensity: IntensityHead,
    ) -> None:
        super().__init__()
        self.config = config
        self.text, self.image, self.audio, self.intensity = text, image, audio, intensity
        named: dict[Modality, object] = {"text": text, "image": image, "audio": audio}
        self.voice = config.audio.speech
        self.modalities = tuple(name for name, source in named.items() if source is not None)

    def standins(self) -> dict[str, Recipe]:
        """Recipes of the stand-in towers by argument of `build_space`; the config names public towers."""
        found: dict[str, Recipe] = {}
        tower = next((one.tower for one in (self.text, self.image) if isinstance(one, ClipText | ClipImage)), None)
        if tower is not None and self.config.text.clip_model == STANDIN:
            found["clip"] = _recipe("clip:ClipPrior", tower)
        if isinstance(self.text, GPT2Text) and self.config.text.gpt2_model == STANDIN:
            found["gpt2"] = _recipe("gpt2:GPT2Prior", self.text.tower)
        return found

    def recipe(self) -> Recipe:
        """What `rebuild` needs: the config, the space's own weights, and the stand-in towers."""
        return {"config": as_plain(self.config), "state": self.state_dict(), "parents": self.standins()}

    @classmethod
    def rebuild(cls, recipe: Recipe) -> "EmotionSpace":
        """Build a space again.

        Args:
            recipe: what `recipe` returned.

        Returns:
            The space with its weights.
        """
        towers = {name: rebuild(name, tower) for name, tower in recipe["parents"].items()}
        space = build_space(as_config(AMEConfig, recipe["config"]), **towers)
        space.load_state_dict(recipe["state"])
        return space

    def encode_text(self, texts: Sequence[str]) -> EmotionCode:
        """Codes of texts.

        Args:
            texts: b texts such as "a very happy face".

        Returns:
            Codes of b emotions.

        Raises:
            UserError: a text is empty.
            RefusedStyle: the encoder cannot express a text.
        """
        for text in texts:
            if not text.strip():
                raise UserError("emotion: the text is empty; write an emotion such as 'happy' or 'quietly sad'")
        return self.code(self.text(texts))

    def encode_image(self, images: Float[Tensor, "b 3 h w"]) -> EmotionCode:
        """Codes of face images.

        Args:
            images: RGB in [-1, 1].

        Returns:
            Codes of b emotions.

        Raises:
            UserError: the space has no image tower.
        """
        if self.image is None:
            raise self._refusal("image")
        return self.code(self.image(images))

    def encode_audio(self, voice: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> EmotionCode:
        """Codes of speech.

        Args:
            voice: the feature that `self.voice` names; by default log-mel in dB, 100 columns a second.
            mask: True where there is audio, False where there is padding.

        Returns:
            Codes of b emotions.
        """
        return self.code(self.audio(voice, mask))

    def code(self, vector: Float[Tensor, "b 512"]) -> EmotionCode:
        """Code of any unit vectors of the space.

        Args:
            vector: points of the space, of unit length.

        Returns:
            Codes with the intensity token of each vector.
        """
        token = self.intensity(vector)
        return EmotionCode(vector, token, self.intensity.level(token))

    def with_level(self, code: EmotionCode, level: Float[Tensor, " b"]) -> EmotionCode:
        """The same emotion at another level: the level slider.

        Args:
            code: b emotions.
            level: wanted levels in 0 (neutral) .. 3.

        Returns:
            Codes with the same vectors and the tokens of these levels.
        """
        token = self.intensity.at_level(code.token, level)
        return EmotionCode(code.vector, token, self.intensity.level(token))


def _recipe(prior: str, tower: nn.Module) -> Recipe:
    return {"class": f"lightning_modules.standins.priors.{prior}", "recipe": {"state": tower.state_dict()}}


def build_space(config: AMEConfig, clip: ClipParts | None = None, gpt2: GPT2Parts | None = None) -> EmotionSpace:
    """Build the space of a configuration, with the towers that it names.

    Without CLIP and without an image tower of its own (`image.tower` `trained`), the space does not take images.

    Args:
        config: settings of AME.
        clip: a trained stand-in of CLIP, where `config.parents()` asks for one.
        gpt2: a trained stand-in of GPT-2, where `config.parents()` asks for one.

    Returns:
        A space with untrained adapters, audio encoder and intensity head.

    Raises:
        UserError: a stand-in is missing, or the weights of a tower cannot be read.

    Examples:
        >>> space = build_space(AMEConfig(text=TextConfig("onehot")))
        >>> space.encode_text(["very happy", "sad"]).vector.shape
        torch.Size([2, 512])
    """
    if not config.needs_clip:
        clip = None
    elif config.text.clip_model != STANDIN:
        clip = load_clip(config.text.clip_model, config.text.clip_weights)
    if config.text.encoding == "gpt2" and config.text.gpt2_model != STANDIN:
        gpt2 = load_gpt2(config.text.gpt2_model)
    text = _text_source(config.text, {"clip": clip, "gpt2": gpt2})
    audio = AudioEncoder(config.audio) if config.audio.speech == VOICE else FeatureEncoder(config.audio)
    return EmotionSpace(config, text, _image_tower(config, clip), audio, IntensityHead(config.token_width))


def _image_tower(config: AMEConfig, clip: ClipParts | None) -> ClipImage | TrainedImage | None:
    if config.image.tower == "trained":
        return TrainedImage(config.image)
    if config.image.tower == "none" or clip is None:
        return None
    return ClipImage(clip, config.adapter_width, config.adapter_dropout)


def _text_source(config: TextConfig, towers: Mapping[str, Any]) -> TextSource:
    if config.encoding.startswith(HUGGING_FACE):
        return SentenceText(load_sentence_encoder(config.encoding.removeprefix(HUGGING_FACE)))
    make = TEXT_SOURCES.load(config.encoding)
    if config.encoding == "onehot":
        return make()
    if config.encoding not in towers:
        return make(config)
    if towers[config.encoding] is None:
        raise UserError(f"ame.text.encoding {config.encoding!r} needs {config.encoding}=, the parts of a stand-in")
    return make(towers[config.encoding])
