"""What one call of a TensorRT plan needs: a context, a stream, memory, and its work."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from vexas_edge.engines.tensorrt.cuda import allocated, captured, checked, reserved, runtime
from vexas_edge.engines.tensorrt.library import FOR_RTX, given, tensorrt
from vexas_edge.engines.tensorrt.plans import input_shape
from vexas_edge.errors import DeviceMemoryError, HostError


class Call:
    """All that calls of one size need, one at a time."""

    def __init__(self, engine: Any, config: Any, n_rows: Mapping[str, int]) -> None:
        """Take all memory that such a call needs, and run it once.

        Args:
            config: how the context runs; it then uses memory of ours, for this size alone.
            n_rows: of each input and output.
        """
        with ExitStack() as closing:  # what there is no memory for leaves nothing behind
            self._stream = checked(runtime.cudaStreamCreate())
            closing.callback(runtime.cudaStreamDestroy, self._stream)
            self.context = _context(engine, config, n_rows, self._stream, closing)
            modes = {name: engine.get_tensor_mode(name) for name in n_rows}
            buffers = {}
            for name in n_rows:
                shape = tuple(self.context.get_tensor_shape(name))
                dtype = np.dtype(tensorrt.nptype(engine.get_tensor_dtype(name)))
                buffers[name] = allocated(name, shape, dtype, closing)
                given(self.context.set_tensor_address(name, buffers[name].device), "preparing")
            is_input = tensorrt.TensorIOMode.INPUT
            self.inputs = {name: b for name, b in buffers.items() if modes[name] == is_input}
            self.outputs = {name: b for name, b in buffers.items() if modes[name] != is_input}
            # The first run of a context does things that a CUDA graph cannot capture.
            self._graph: Any = None
            self.work()
            self._graph = _captured(self.context, self._enqueue, self._stream, closing)
            self._closing = closing.pop_all()

    def work(self) -> None:
        """Copy the inputs, compute, copy the outputs, and wait for the end of it."""
        if self._graph is None:
            self._enqueue()
        else:
            checked(runtime.cudaGraphLaunch(self._graph, self._stream))
        checked(runtime.cudaStreamSynchronize(self._stream))

    def _enqueue(self) -> None:
        for buffer in self.inputs.values():
            buffer.upload(self._stream)
        given(self.context.execute_async_v3(int(self._stream)), "running")
        for buffer in self.outputs.values():
            buffer.download(self._stream)

    def close(self) -> None:
        """Free the memory."""
        self._closing.close()


def _context(
    engine: Any, config: Any, n_rows: Mapping[str, int], stream: Any, closing: ExitStack
) -> Any:
    """A context for calls of this size, in memory that `closing` frees."""
    doing = "preparing for calls of a known size"
    strategies = tensorrt.ExecutionContextAllocationStrategy
    config.set_execution_context_allocation_strategy(strategies.USER_MANAGED)
    context = given(engine.create_execution_context(config), "making a context")
    given(context.set_optimization_profile_async(0, int(stream)), doing)
    for name, n in n_rows.items():
        if engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT:
            shape = input_shape(name, tuple(engine.get_tensor_shape(name)), n)
            given(context.set_input_shape(name, shape), doing)
    if size := context.update_device_memory_size_for_shapes():
        context.set_device_memory(reserved(size, closing), size)
    return context


def _captured(context: Any, enqueue: Callable[[], None], stream: Any, closing: ExitStack) -> Any:
    """The work as one CUDA graph, for speed alone; None where it cannot be captured."""
    if FOR_RTX and not context.is_stream_capturable(int(stream)):
        return None
    try:
        return captured(enqueue, stream, closing)
    except DeviceMemoryError:
        raise
    except HostError:
        return None
