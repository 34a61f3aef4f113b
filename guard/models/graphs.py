"""ONNX graphs that are built in memory from weights at hand, and the sessions that compute them on a processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from guard.errors import ModelError


class Graph:
    """Nodes and constants, in the order in which they are added. Names of values are given out here."""

    def __init__(self, domain: str = "") -> None:
        """`domain`: of operators that are not of the standard."""
        self._domain = domain
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def node(
        self, operator: str, inputs: Sequence[str], *, outputs: Sequence[str] = (), own: bool = False, **given: Any
    ) -> str:
        """Add an operator; returns its first output. `own`: it is of the graph's domain. `given`: its attributes."""
        from onnx import helper

        names = list(outputs) or [f"value{len(self._nodes)}"]
        self._nodes.append(helper.make_node(operator, inputs, names, domain=self._domain if own else "", **given))
        return names[0]

    def constant(self, name: str, value: Any) -> str:
        """Add an array, unless one of that name is there; returns its name."""
        import numpy as np
        from onnx import numpy_helper

        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def built(self, inputs: Sequence[Any], outputs: Sequence[Any], *, opset: int) -> bytes:
        """The model, serialized. `inputs` and `outputs`: ONNX's value infos."""
        from onnx import helper

        graph = helper.make_graph(self._nodes, "graph", inputs, outputs, list(self._constants.values()))
        domains = [helper.make_opsetid("", opset), *([helper.make_opsetid(self._domain, 1)] if self._domain else [])]
        serialized: bytes = helper.make_model(graph, opset_imports=domains, ir_version=8).SerializeToString()
        return serialized


def session(model: bytes, what: str, advice: str) -> Any:
    """A session of one thread, safe for callers in several: no pool, and so nobody who waits busily for work.

    Raises ModelError for a graph or a processor that ONNX Runtime does not serve; `what` and `advice` say so.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library has one class of error a cause, and names none of them publicly
        raise ModelError(f"ONNX Runtime cannot compute {what} ({type(error).__name__})", advice=advice) from error
