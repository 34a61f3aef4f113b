"""The environments of peers, one version each."""

from __future__ import annotations

from benchmarks.peers.subject import Place

LLM_GUARD = Place("llm_guard", ("llm-guard==0.3.16",), torch=True)
GUARDRAILS_AI = Place("guardrails_ai", ("guardrails-ai==0.11.0",))
OPENAI_GUARDRAILS = Place("openai_guardrails", ("openai-guardrails==0.3.6",))
NEMO = Place("nemo", ("nemoguardrails==0.24.1",))
LITELLM = Place("litellm", ("litellm[proxy]==1.108.0",))
DETOXIFY = Place("detoxify", ("detoxify==0.5.4",), torch=True)
PRESIDIO = Place("presidio", ("presidio-analyzer==2.2.366",), ours=True)
IMAGEHASH = Place("imagehash", ("imagehash==4.3.2",))
FAISS = Place("faiss", ("faiss-cpu==1.15.1",))
THREATEXCHANGE = Place("threatexchange", ("threatexchange==1.2.17",))
WATERMARK = Place("invisible_watermark", ("invisible-watermark==0.2.0",), torch=True)
TOLD = ("torch", "transformers", "presidio-analyzer", "spacy", "onnxruntime", "faiss-cpu", "numpy", "opencv-python", "pillow")
"""Packages whose versions are kept with the raw figures, wherever they are installed."""
