"""The section `[ray]` of the settings: where the cluster is, and what runs on it with how much of what.

engine = "ray"

[ray]
address = "10.0.0.5:6379"

[ray.checks.toxicity]
gpus = 0.25
min_replicas = 1
max_replicas = 8
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ByteSize, ConfigDict, Field, model_validator


class Placement(BaseModel):
    """How one deployment is placed on the cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    replicas: int | None = Field(default=None, ge=1)
    """As many, always; without it, and without `max_replicas`, one."""
    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int | None = Field(default=None, ge=1)
    """Between these two Serve scales by itself."""
    target: float = Field(default=8.0, gt=0)
    """Requests under way a replica that it scales to."""
    cpus: float = Field(default=1.0, ge=0)
    gpus: float = Field(default=0.0, ge=0)
    """Of each replica; parts of one GPU are fine."""
    per_node: int | None = Field(default=1, ge=1)
    """Replicas on one node at most: each has the weights in memory once."""
    ongoing: int = Field(default=64, ge=1)
    """Requests that a replica takes at once; their contents wait in its batcher."""
    queued: int = Field(default=256, ge=1)
    """Requests that wait at one gateway for a replica to take them; more get 429."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.replicas is not None and self.max_replicas is not None:
            raise ValueError("found both replicas and max_replicas, expected one of them")
        if self.max_replicas is not None and self.min_replicas > self.max_replicas:
            raise ValueError(f"found min_replicas {self.min_replicas}, expected at most max_replicas {self.max_replicas}")
        return self


class Cluster(BaseModel):
    """The whole section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str = ""
    """Of the cluster's head; empty: RAY_ADDRESS, or one that is started here and ends with this process."""
    object_store: ByteSize | None = Field(default=None, ge=80_000_000)
    """Bytes of shared memory of a cluster that is started here; Ray's own choice when left out."""
    checks: dict[str, Placement] = Field(default_factory=dict)
    """By registered name, or `*` for all others. Empty: checks that load models, at the defaults."""
    generators: dict[str, Placement] = Field(default_factory=dict)
    """By the name that they are on offer under, or `*` for all others."""
    bulk_workers: int | None = Field(default=None, ge=1)
    """Processes that measure for `genguard bulk check`; as many as there are processors when left out."""

    def of_check(self, use: str, *, models: bool) -> Placement | None:
        """How a check is placed; None for one that stays here. `models`: whether it loads one."""
        if not self.checks:
            return Placement() if models else None
        return self.checks.get(use, self.checks.get("*"))

    def of_generator(self, name: str) -> Placement | None:
        """How a generator is placed; None for one that stays here."""
        return self.generators.get(name, self.generators.get("*"))
