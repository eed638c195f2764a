"""EfficientNet-Lite2, the picture encoder of okedit-mini, as plain modules.

Tan & Le 2019 (arXiv 1905.11946) in the Lite form: ReLU6, no squeeze-and-excitation, stem and head not scaled.
Parameter names follow the package efficientnet-lite-pytorch without its leading underscores, so that its
checkpoint loads with a rename; padding is TensorFlow's SAME, computed from the input's own size.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

# (repeats, kernel, stride, expansion, channels out), width 1.1 and depth 1.2 already applied.
STAGES = (
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)
STEM, HEAD, CLASSES = 32, 1280, 1000
MIDDLE_BLOCK = 14  # the last block at 14 x 14: colour and texture are still there
MIDDLE_CHANNELS = 120


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding (asymmetric where the stride asks for it)."""

    def forward(self, x: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
        """[B, C, H, W] -> [B, C', ceil(H/s), ceil(W/s)], normalised by `norm` as it was learned, in one pass
        over the picture.
        """
        pads = []
        for size, kernel, stride in zip(
            x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        scale = norm.weight.float() * (norm.running_var.float() + norm.eps).rsqrt()
        weight, bias = self.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
        x = F.pad(x, pads) if any(pads) else x
        return F.conv2d(x, weight.to(x.dtype), bias.to(x.dtype), self.stride, groups=self.groups)


class Block(nn.Module):
    """Inverted bottleneck: expand, depthwise, project, and the skip where shapes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        middle = inputs * expansion
        if expansion > 1:
            self.expand_conv = SameConv(inputs, middle, 1, bias=False)
            self.bn0 = nn.BatchNorm2d(middle, eps=1e-3)
        self.depthwise_conv = SameConv(middle, middle, kernel, stride, groups=middle, bias=False)
        self.bn1 = nn.BatchNorm2d(middle, eps=1e-3)
        self.project_conv = SameConv(middle, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, eps=1e-3)
        self.expands, self.skips = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, in, H, W] -> [B, out, H/s, W/s]."""
        y = F.relu6(self.expand_conv(x, self.bn0), inplace=True) if self.expands else x
        y = F.relu6(self.depthwise_conv(y, self.bn1), inplace=True)
        y = self.project_conv(y, self.bn2)
        return x + y if self.skips else y


class EfficientNetLite2(nn.Module):
    """The whole network: features [B, 1280, h, w], middle features, and ImageNet logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = SameConv(3, STEM, 3, 2, bias=False)
        self.bn0 = nn.BatchNorm2d(STEM, eps=1e-3)
        blocks, inputs = [], STEM
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for i in range(repeats):
                blocks.append(Block(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.conv_head = SameConv(inputs, HEAD, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(HEAD, eps=1e-3)
        self.fc = nn.Linear(HEAD, CLASSES)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels [B, 3, H, W], (rgb01 - 0.498) / 0.502 -> features [B, 1280, H/32, W/32], middle [B, 120,
        H/16, W/16].
        """
        features, found = self.levels(pixels, (MIDDLE_BLOCK,))
        return features, found[0]

    def levels(
        self, pixels: torch.Tensor, blocks: tuple[int, ...]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The features, and what leaves some of the blocks [B, c, h, w]."""
        pixels = pixels.contiguous(memory_format=torch.channels_last)  # half as quick again on CPUs
        x, found = F.relu6(self.conv_stem(pixels, self.bn0), inplace=True), {}
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in blocks:
                found[i] = x
        return F.relu6(self.conv_head(x, self.bn1), inplace=True), [found[i] for i in blocks]


def package_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The package's state dict with our parameter names."""
    return {".".join(part.lstrip("_") for part in key.split(".")): value for key, value in state.items()}
