"""Members and batches spread over devices: one program, partitioned by XLA along a mesh with the axes member and batch.

Nothing else knows how many devices there are. A member's whole state lies where the member is computed, so members need
no communication; the batch axis has its sums over devices put in by XLA, those of batch norms among them. Random draws
are those of one device: JAX's default keys do not depend on the layout.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..ensemble import Groups
from .state import OF_GROUPS, TrainState

Device: TypeAlias = Any  # JAX's own, which is made at run time
MEMBER, BATCH = "member", "batch"


@dataclass(frozen=True)
class Spread:
    """``members`` times ``batches`` devices. With one device nothing is placed anywhere."""

    members: int
    batches: int
    devices: tuple[Device, ...]

    @classmethod
    def over(cls, groups: Groups, batch_size: int, devices: Sequence[Device] | None = None) -> "Spread":
        """Over as many of the devices (all, unless given) as divide members and batch. Members of several groups, which
        are programs of their own, share all devices.
        """
        found = tuple(jax.local_devices() if devices is None else devices)
        members = math.gcd(groups[0].members, len(found)) if len(groups) == 1 else 1
        batches = math.gcd(batch_size, len(found) // members)
        return cls(members, batches, found[: members * batches])

    def __str__(self) -> str:
        return f"{len(self.devices)} devices: {self.members} x {self.batches} (members x parts of a batch)"

    @property
    def is_one(self) -> bool:
        return len(self.devices) == 1

    @property
    def states(self) -> TrainState:
        """Where a state's parts lie; a part's place is that of all its leaves."""
        along, everywhere = self._place(MEMBER), self._place()
        rest = {"step": everywhere, "logits": everywhere, "logits_opt_state": everywhere}
        return TrainState(**dict.fromkeys(OF_GROUPS, along), **rest)

    def put(self, state: TrainState) -> TrainState:
        """A state where its members are computed."""
        if self.is_one:
            return state
        parts = {f.name: jax.device_put(getattr(state, f.name), getattr(self.states, f.name)) for f in fields(state)}
        return TrainState(**parts)

    def member_by_member(self, update: Callable[..., Any]) -> Callable[..., Any]:
        """A group's ``update(own, step, batch, keys)``, with each device computing its own members only."""
        along, whole = PartitionSpec(MEMBER), PartitionSpec()
        # without check_vma: JAX 0.10's searchsorted does not pass the check
        return jax.shard_map(
            update, mesh=self._mesh, in_specs=(along, whole, along, along), out_specs=(along, along),
            axis_names={MEMBER}, check_vma=False,
        )  # fmt: skip

    def batch(self, batch: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """A training batch, leaves (member, batch, ...), each part sent to where it is used."""
        return jax.device_put(dict(batch), None if self.is_one else self.of_batches)

    def everywhere(self, array: np.ndarray) -> Any:
        """An array whole on each device."""
        return jax.device_put(array, None if self.is_one else self._place())

    @property
    def of_batches(self) -> NamedSharding:
        return self._place(MEMBER, BATCH)

    @cached_property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(self.devices).reshape(self.members, self.batches), (MEMBER, BATCH))

    def _place(self, *axes: str) -> NamedSharding:
        return NamedSharding(self._mesh, PartitionSpec(*axes))
