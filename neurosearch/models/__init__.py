"""Fixed networks that a trial starts from.

In: a frozen shape (`MlpShape`, `CnnShape`). Out: a plain `nn.Module` that maps a float batch to `(batch, num_outputs)`.
`pretrained` puts weights from elsewhere into any network, by name and shape; `head` finds the last layer of any network
and makes it one of cosines, or shifts its outputs. Nothing here knows that neurons come and go; `neurons` finds them in
any module.
"""

from neurosearch.models.cnn import Cnn, CnnShape
from neurosearch.models.mlp import Mlp, MlpShape, draw_uniform

__all__ = ["Cnn", "CnnShape", "Mlp", "MlpShape", "draw_uniform"]
