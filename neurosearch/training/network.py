"""The network in training: the module, its neurons as they are now, and how a batch goes through it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from neurosearch.neurons import Units, gated_parameters, shifted_parameters
from neurosearch.training.seams import GrowthPolicy

Forward = Callable[[Tensor], Tensor]

_BACKEND = "inductor"


class Network:
    """A module whose sizes change.

    Attributes:
        model: The module itself; always the same object.
        units: Its neurons; replaced after every change.
        is_gated: Whether a policy's gates stand before the outgoing weights; False for good after they were folded.
    """

    def __init__(
        self, model: nn.Module, units: Units, policy: GrowthPolicy, *, amp: bool, channels_last: bool, compiled: bool
    ) -> None:
        self.model = model
        self.units = units
        self.is_gated = bool(policy.gates(units))
        self._policy = policy
        self._amp = amp
        self._channels_last = channels_last
        self._compiled = compiled
        self._step: Forward | None = None  # the compiled pass of the structure as it is now

    def for_training(self) -> Forward:
        """Return the forward pass of a step; gates are made afresh in every call, so gradients reach the sizes.

        A gated network is not compiled: its sizes move on after a few steps.
        """
        self.model.train()
        if not self.is_gated:
            return self._compiled_step() if self._compiled else self._wrap(self.model)
        return self._wrap(lambda inputs: functional_call(self.model, self._gated_parameters(), (inputs,)))

    def forget_compiled(self) -> None:
        """Throw away what was compiled for the structure as it is now; called before it changes.

        The compiler would otherwise keep one version for each structure, and after eight of them compile no more.
        """
        if self._step is not None:
            self._step = None
            torch.compiler.reset()

    def for_evaluation(self) -> Forward:
        """Return the forward pass of an evaluation, valid until the network changes; gates are applied once."""
        self.model.eval()
        if not self.is_gated:
            return self._wrap(self.model)
        with torch.no_grad():
            parameters = self._gated_parameters()
        return self._wrap(lambda inputs: functional_call(self.model, parameters, (inputs,)))

    def _compiled_step(self) -> Forward:
        if self._step is None:
            model: Forward = torch.compile(self.model, backend=_BACKEND)
            self._step = self._wrap(_any_number(model))
        return self._step

    def _gated_parameters(self) -> dict[str, Tensor]:
        shifted = shifted_parameters(self.model, self.units, self._policy.shifts(self.units))
        return gated_parameters(self.model, self.units, self._policy.gates(self.units)) | shifted

    def _wrap(self, forward: Forward) -> Forward:
        """Add what the settings ask for; a plain network pays nothing."""
        if self._channels_last:
            forward = _channels_last(forward)
        return _autocast(forward) if self._amp else forward


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load a state dict strictly, with its memory order: kernels round differently for another one."""
    model.load_state_dict(dict(weights))
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.stride() != weights[name].stride():
            tensor.data = weights[name].to(tensor.device)


def _any_number(forward: Forward) -> Forward:
    """Let one compiled version serve batches of every size: the last one of an epoch is smaller."""
    from torch._dynamo import maybe_mark_dynamic  # a second of importing, which only who compiles should pay

    def run(inputs: Tensor) -> Tensor:
        maybe_mark_dynamic(inputs, 0)
        return forward(inputs)

    return run


def _channels_last(forward: Forward) -> Forward:
    def run(inputs: Tensor) -> Tensor:
        return forward(inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs)

    return run


def _autocast(forward: Forward) -> Forward:
    def run(inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            return forward(inputs)

    return run
