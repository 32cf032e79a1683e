"""The choices that a user makes by name and that a result records."""

from typing import Literal, get_args

Layout = Literal["auto", "cellavision", "folders", "flat"]
ClassFrom = Literal["folder", "prefix", "agree"]
EngineName = Literal["auto", "onnxruntime", "openvino", "tensorrt"]
Device = Literal["auto", "cpu", "cuda", "intel-gpu"]
Precision = Literal["fp32", "fp16", "int8"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
DEVICES: tuple[Device, ...] = get_args(Device)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

# What is chosen where a person names nothing.
AUTO: Literal["auto"] = "auto"
# What page each result gets.
PageKind = Literal["with pictures", "without pictures", "none"]
# What stands before the decimals of a number.
DecimalSign = Literal["comma", "point"]
