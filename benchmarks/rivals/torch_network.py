"""The original framework's network in PyTorch, written from its guide's description, as a yardstick for training.

The guide names the parts, the input (raw gathers), the embedding, heads and layers; widths and strides it does not name
are chosen for about 54 M parameters, and kindly: the record is shortened fourfold after each stage, the pooling keeps
some places, and the output starts at 2.6 km/s.
"""

import itertools
import math

import torch
from torch import nn
from torch.nn import functional

KERNELS = 1, 3, 5, 7
STAGES = (64, (4, 1)), (128, (4, 2)), (256, (4, 2)), (512, (2, 2))  # channels, and what is pooled after them
POOLED = 4, 2  # (time, receiver)
SEED_GRID = 4, 10  # (x, depth) cells that the decoder begins with
START_KM_S = 2.6
MAPE, L2, GRADIENT, TOTAL_VARIATION, PHYSICS = 1.0, 0.3, 0.2, 0.1, 0.1  # weights of the loss, from the guide


class MultiScale(nn.Module):
    """Convolutions of four sizes side by side, batch norm, GELU."""

    def __init__(self, inward: int, outward: int):
        super().__init__()
        each = outward // len(KERNELS)
        self.branches = nn.ModuleList(nn.Conv2d(inward, each, k, padding=k // 2, bias=False) for k in KERNELS)
        self.norm = nn.BatchNorm2d(outward)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.gelu(self.norm(torch.cat([branch(x) for branch in self.branches], 1)))


class Encoder(nn.Module):
    """Gathers (batch, shot, time, receiver) to one vector: stages for each shot, attention across shots, fusion."""

    def __init__(self, shots: int, embedding: int, heads: int, dropout: float):
        super().__init__()
        self.shots = nn.ModuleList(self._stages() for _ in range(shots))
        self.project = nn.Linear(STAGES[-1][0] * math.prod(POOLED), embedding)
        self.across = nn.MultiheadAttention(embedding, heads, dropout, batch_first=True)
        self.norm = nn.LayerNorm(embedding)
        self.fuse = nn.Linear(shots * embedding, embedding)

    @staticmethod
    def _stages() -> nn.Sequential:
        layers, inward = [], 1
        for outward, pooled in STAGES:
            layers += [MultiScale(inward, outward), nn.MaxPool2d(pooled, ceil_mode=True)]
            inward = outward
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(POOLED), nn.Flatten())

    def forward(self, gathers: torch.Tensor) -> torch.Tensor:
        shots = [stages(gathers[:, k : k + 1]) for k, stages in enumerate(self.shots)]
        x = self.project(torch.stack(shots, 1))
        x = self.norm(x + self.across(x, x, x, need_weights=False)[0])
        return self.fuse(x.flatten(1))


class Decoder(nn.Module):
    """One vector to a velocity model (batch, x, depth): a transformer over this one token, then upsampling."""

    def __init__(self, shape: tuple[int, int], embedding: int, heads: int, layers: int, dropout: float):
        super().__init__()
        self.shape = shape
        layer = nn.TransformerEncoderLayer(embedding, heads, 4 * embedding, dropout, "gelu", batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, layers)
        self.seed = nn.Linear(embedding, embedding * math.prod(SEED_GRID))
        widths = embedding, 256, 128, 64, 32
        self.upsample = nn.Sequential(*(self._twice(*pair) for pair in itertools.pairwise(widths)))
        self.head = nn.Conv2d(widths[-1], 1, 3, padding=1)
        nn.init.constant_(self.head.bias, math.log(math.expm1(START_KM_S)))

    @staticmethod
    def _twice(inward: int, outward: int) -> nn.Sequential:
        return nn.Sequential(nn.ConvTranspose2d(inward, outward, 4, 2, 1), nn.BatchNorm2d(outward), nn.GELU())

    def forward(self, token: torch.Tensor) -> torch.Tensor:
        token = self.transformer(token[:, None])[:, 0]
        x = self.head(self.upsample(self.seed(token).unflatten(1, (-1, *SEED_GRID))))
        return functional.softplus(functional.interpolate(x, self.shape, mode="bilinear")[:, 0])


def network(shots: int, shape: tuple[int, int], embedding=512, heads=8, layers=6, dropout=0.1) -> nn.Module:
    """One member at the guide's sizes."""
    return nn.Sequential(
        Encoder(shots, embedding, heads, dropout), Decoder(shape, embedding, heads, layers, dropout)
    )  # fmt: skip


def loss(predicted: torch.Tensor, true: torch.Tensor, v_min: float, v_max: float) -> torch.Tensor:
    """The guide's five terms."""
    error = predicted - true
    steps, error_steps = (
        (array.diff(dim=-2), array.diff(dim=-1)) for array in (predicted, error)
    )  # fmt: skip
    outside = functional.relu(v_min - predicted) + functional.relu(predicted - v_max)
    return (
        MAPE * (error.abs() / true).mean()
        + L2 * error.square().mean()
        + GRADIENT * sum(step.square().mean() for step in error_steps)
        + TOTAL_VARIATION * sum(step.abs().mean() for step in steps)
        + PHYSICS * (outside.mean() + functional.relu(-steps[1]).mean())
    )
