"""Our own kernels for the default network on processors (`convnet.cpp`), compiled on first use."""

from collabdm.kernels.body import FusedBody, fits, fused_body
from collabdm.kernels.library import compiler, library, library_remark

__all__ = ["FusedBody", "compiler", "fits", "fused_body", "library", "library_remark"]
