"""Every published file of weights that can be put to use: what it is called and where its authors publish it."""

from conventions.weights import WeightFile

LANDMARKER = WeightFile(
    "face_landmarker.task",
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
)
"""MediaPipe's Face Landmarker."""

SFACE = WeightFile(
    "face_recognition_sface.onnx",
    "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface "
    "(face_recognition_sface_2021dec.onnx; rename it)",
)
"""Face recognition (Zhong et al. 2021)."""

ARCFACE = WeightFile("w600k_r50.onnx", "https://github.com/deepinsight/insightface/tree/master/model_zoo (buffalo_l)")
"""Face recognition (Deng et al. 2019), for a loss beside SFace as the metric or the other way round."""

HSEMOTION = WeightFile(
    "enet_b0_8_best_vgaf.onnx",
    "https://github.com/sb-ai-lab/EmotiEffLib/tree/main/models/affectnet_emotions/onnx",
)
"""Emotion (Savchenko 2022), the default of its authors' own packages; they publish no checksum."""

HSEMOTION_B2 = WeightFile("enet_b2_8.onnx", HSEMOTION.source)
"""The larger network of the same authors, for a loss beside HSEmotion as the metric or the other way round."""

SYNCNET = WeightFile("syncnet_v2.model", "http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model")
"""Video against audio (Chung & Zisserman 2016). A third party's page gives 54,573,114 bytes and the SHA-256
961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442; its authors give none, so none is checked."""

INCEPTION = WeightFile(
    "weights-inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d",
)
"""FID's own Inception, as torch-fidelity converted it."""

ALEXNET = WeightFile(
    "alexnet-owt-7be5be79.pth", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79"
)
"""What LPIPS looks through."""

VGG16 = WeightFile("vgg16-397923af.pth", "https://download.pytorch.org/models/vgg16-397923af.pth", "397923af")
"""The perceptual loss's network (Simonyan and Zisserman 2015)."""

VIDEOMAE = WeightFile("videomae-base/model.safetensors", "https://huggingface.co/MCG-NJU/videomae-base")
"""FVD's network (Tong et al. 2022), in Hugging Face's layout with its config.json."""

DEEP3D = WeightFile("epoch_20.pth", "https://github.com/sicxu/Deep3DFaceRecon_pytorch#prepare-prerequisite-models")
"""Deep3DFaceRecon's checkpoint."""

BASEL = WeightFile(
    "BFM_model_front.mat", "Basel Face Model 2009 as packed by Deep3DFaceRecon; needs a licence from Basel"
)
"""The face model of Deep3DFaceRecon's coefficients."""

PUBLISHED = (
    *(LANDMARKER, SFACE, HSEMOTION, SYNCNET, INCEPTION, ALEXNET),
    *(ARCFACE, HSEMOTION_B2, VGG16, VIDEOMAE, DEEP3D, BASEL),
)
