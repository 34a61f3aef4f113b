"""Images from the generator network of a GAN; what a model folder holds is described in `generators.latent`."""

from __future__ import annotations

from generators.latent import LatentGenerator
from guard.protocols import Generator
from guard.registry import generators


@generators.register("gan")
def gan(
    *, model: str = "bundled/gan-digits", architecture: str | None = None, device: str = "auto", name: str = "gan"
) -> Generator:
    """Images from a GAN's generator network, conditional or not.

    `model`: `bundled/NAME`, a folder, or `sha256:` and the digest of one. `architecture`: the class that builds the network, as
    `package.module:Class`; needed for a folder whose `config.json` names none that ships with genguard.
    """
    return LatentGenerator(model, architecture=architecture, device=device, name=name)
