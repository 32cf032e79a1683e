"""The choices that a user makes by name and that a result records."""

from typing import Literal

Layout = Literal["auto", "cellavision", "folders", "flat"]
ClassFrom = Literal["folder", "prefix", "agree"]
EngineName = Literal["auto", "onnxruntime", "openvino", "tensorrt"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "fp16", "int8"]
