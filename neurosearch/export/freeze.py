"""The network as it is deployed: from a raw batch to logits, fixed in size, in eval mode, plain torch."""

import copy

from torch import Tensor, nn

from neurosearch.data.preprocess import Preprocess


class Deployed(nn.Module):
    """Preprocessing and network in one module, in eval mode.

    Args:
        preprocess: From a raw batch to what the network reads.
        network: From there to logits (N, C); copied to the CPU, the caller's stays as it is.

    Example:
        >>> deployed = Deployed(prepared.preprocess(), model)
        >>> deployed(torch.from_numpy(prepared.raw_test().x[:4])).shape
        torch.Size([4, 10])
    """

    def __init__(self, preprocess: Preprocess, network: nn.Module) -> None:
        super().__init__()
        self.preprocess = copy.deepcopy(preprocess).cpu()
        self.network = copy.deepcopy(network).cpu()
        self.requires_grad_(False)
        self.eval()

    def forward(self, raw: Tensor) -> Tensor:
        """Map a raw batch (N, ...) as stored to logits (N, C)."""
        logits: Tensor = self.network(self.preprocess(raw))
        return logits
