"""Adapters that put models behind one protocol, `guard.types.Generator`: language, diffusion, GAN, echo."""
