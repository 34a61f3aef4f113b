"""Adapters that put models behind one protocol, `guard.protocols.Generator`: language, diffusion, GAN, echo."""
