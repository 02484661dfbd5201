"""EAC as `emospace bench` measures it."""

import torch

from conventions.rates import MFCC_COEFFICIENTS, MFCC_WINDOW, VIDEO_FPS
from emospace.bench.subjects import SPEECH_SECONDS, Call, Subject
from experiments.schema import ExperimentConfig
from lightning_modules.ame.emotion import EMOTION_DIM, TOKEN_DIM, EmotionCode
from lightning_modules.eac.network import NUM_IDENTITY, ExpressionNetwork


def build(config: ExperimentConfig, device: str) -> Subject:
    """EAC on some seconds of speech at once."""
    with torch.device(device):
        net = ExpressionNetwork(config.eac.backbone).eval()
        frames = SPEECH_SECONDS * VIDEO_FPS
        mfcc, mask = torch.zeros(1, frames, MFCC_WINDOW, MFCC_COEFFICIENTS), torch.ones(1, frames, dtype=torch.bool)
        code = EmotionCode(torch.zeros(1, EMOTION_DIM), torch.zeros(1, TOKEN_DIM), torch.zeros(1))
        identity = torch.zeros(1, NUM_IDENTITY)
    parts = {name: getattr(net, name) for name in ("sound", "condition", "backbone", "head")}
    speak = Call("speak", "a frame of speech", lambda: net(mfcc, mask, code, identity), parts, frames)
    return Subject(f"width {config.eac.backbone.width}", net, (speak,))
