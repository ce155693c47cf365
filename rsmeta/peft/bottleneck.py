"""The bottleneck that Adapter and AdaptFormer share.

gamma * Up(ReLU(Down(LN(x)))), with Up = 0 at the start, weights and bias.
"""

import math

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from rsmeta.peft.modulators import ModulatorBank
from rsmeta.peft.sites import Site


class Bottleneck(nn.Module):
    """Normalisation, projection down, ReLU, projection up; scaled by the site's modulator.

    Args:
        width: Features of a token.
        rank: Features inside.
        site: Whose modulator scales the output.
        bank: Where the modulators live; not owned, so that they are stored once.

    Attributes:
        site: Likewise.
    """

    def __init__(self, width: int, rank: int, site: Site, bank: ModulatorBank) -> None:
        super().__init__()
        self._bank = (bank,)
        self.site = site
        self._entry = int(bank.sites.index(site))
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, rank)
        self.up = nn.Linear(rank, width)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (..., width) to their modulated update (..., width)."""
        hidden = F.relu(self.down(self.norm(x)))
        # Gamma scales the small matrix; to scale the update would cost a pass over all tokens.
        gamma = self._bank[0].gamma()[self._entry]
        return F.linear(hidden, gamma * self.up.weight, gamma * self.up.bias)


def bottleneck_parameters(model: VisionTransformer, rank: int) -> int:
    """Trainable parameters of one bottleneck: LN 2 D, down D r + r, up r D + D."""
    width = int(model.embed_dim)
    return 2 * width + (width * rank + rank) + (rank * width + width)
