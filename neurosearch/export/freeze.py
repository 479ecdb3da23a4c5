"""The network as it is deployed: from a raw batch to what a user reads, fixed in size, in eval mode, plain torch."""

import copy

from torch import Tensor, nn

from neurosearch.data.preprocess import Preprocess


class Deployed(nn.Module):
    """Preprocessing, network and postprocessing in one module, in eval mode.

    Args:
        preprocess: From a raw batch to what the network reads.
        network: From there to logits (N, C) or standardised quantities (N, T); copied to the CPU, the caller's stays
            as it is.
        postprocess: From there to what a user reads: logits as they are, quantities in the user's units.

    Example:
        >>> deployed = Deployed(prepared.preprocess(), model, prepared.postprocess())
        >>> deployed(torch.from_numpy(prepared.raw_test().x[:4])).shape
        torch.Size([4, 10])
    """

    def __init__(self, preprocess: Preprocess, network: nn.Module, postprocess: nn.Module) -> None:
        super().__init__()
        self.preprocess = copy.deepcopy(preprocess).cpu()
        self.network = copy.deepcopy(network).cpu()
        self.postprocess = copy.deepcopy(postprocess).cpu()
        self.requires_grad_(False)
        self.eval()

    def forward(self, raw: Tensor) -> Tensor:
        """Map a raw batch (N, ...) as stored to logits (N, C), or to quantities (N, T) in the user's units."""
        outputs: Tensor = self.postprocess(self.network(self.preprocess(raw)))
        return outputs
