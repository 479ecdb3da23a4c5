"""Telling modules that `torch.compile` wrapped without the compiler, whose import takes about as long as torch's."""

import sys

from torch import nn


def is_compiled(model: nn.Module) -> bool:
    """Return whether a module is a wrapper that `torch.compile` made."""
    compiler = sys.modules.get("torch._dynamo.eval_frame")  # whoever made one has imported it
    return compiler is not None and isinstance(model, compiler.OptimizedModule)
