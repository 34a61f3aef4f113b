"""Images from the decoder of a VAE, or from a VQ-VAE with its prior; what a folder holds: see `generators.latent`."""

from __future__ import annotations

from generators.latent import LatentGenerator
from guard.protocols import Generator
from guard.registry import generators


@generators.register("vae")
def vae(
    *, model: str = "bundled/vae-digits", architecture: str | None = None, device: str = "auto", name: str = "vae"
) -> Generator:
    """Images decoded from noise, conditional or not.

    `model`: `bundled/NAME`, a folder, or `sha256:` and the digest of one. `architecture`: the class that builds the network, as
    `package.module:Class`; needed for a folder whose `config.json` names none that ships with genguard.
    """
    return LatentGenerator(model, architecture=architecture, device=device, name=name)
