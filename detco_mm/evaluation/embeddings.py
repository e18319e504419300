"""How embeddings lie on the sphere, without labels: effective rank, alignment, uniformity."""

from collections.abc import Sequence

import torch
from torch import Tensor

#: Keys that are looked at, the newest: more than any D in use, so that they bound the rank by no more than D does.
NEWEST = 1024


def effective_rank(vectors: Tensor) -> float:
    """Return how many dimensions vectors make use of: exp of the entropy of their singular values, over their sum.

    Args:
        vectors: (N, D).

    Returns:
        1, if all lie on a line, to min(N, D).

    Source: Garrido et al., RankMe (arXiv 2210.02885), equation 1.
    """
    values = torch.linalg.svdvals(vectors.float().cpu())
    shares = values / values.sum().clamp_min(torch.finfo().tiny)
    return float(torch.special.entr(shares).sum().exp())


def alignment(queries: Tensor, keys: Tensor) -> float:
    """Return the mean squared distance between two embeddings of the same image: 0 where they agree, 2 by chance.

    Args:
        queries: (N, D) unit vectors.
        keys: (N, D), of the same images.

    Source: Wang and Isola (arXiv 2005.10242), section 4.1, with alpha = 2.
    """
    return float((queries.float() - keys.float()).square().sum(1).mean())


def uniformity(vectors: Tensor) -> float:
    """Return the logarithm of the mean Gaussian potential of pairs: 0 if all are alike, towards -4 if spread evenly.

    Args:
        vectors: (N, D) unit vectors, N at least 2.

    Source: Wang and Isola (arXiv 2005.10242), section 4.1, with t = 2.
    """
    return float(torch.pdist(vectors.float().cpu()).square().mul(-2).exp().mean().log())


def key_spread(rows: Sequence[str], keys: Tensor) -> dict[str, float]:
    """Return ``rank_{row}`` and ``uniformity_{row}`` of the keys of each row of queues, (G, N, D), N at least 2."""
    found = {f'rank_{row}': effective_rank(own) for row, own in zip(rows, keys, strict=True)}
    return found | {f'uniformity_{row}': uniformity(own) for row, own in zip(rows, keys, strict=True)}
