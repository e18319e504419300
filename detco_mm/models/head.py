"""DetCoHead: which pairs contrast at which weight -> named losses and contrast accuracies."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor

from detco_mm.registry import MODELS, STAGES

from .info_nce import info_nce
from .neck import SCOPES

# name -> (scope of the query, scope of the key); DetCo, equations 2 to 4. The cross contrast is one-way.
PAIRS = {'g2g': ('global', 'global'), 'l2l': ('local', 'local'), 'l2g': ('local', 'global')}


@MODELS.register_module()
class DetCoHead(BaseModule):
    """The objective: sum over stages of w * (g2g + l2l + l2g).

    A stage of weight 0 is switched off, and what no pair uses is not built: ``query_scopes``, ``key_scopes`` and
    ``stages`` say what is.

    Args:
        stage_weights: weight of each stage; a stage that is missing or 0 is off. The paper says only that shallow
            stages weigh less; the numbers are those of the unofficial implementation, whose comment credits the paper.
        pairs: contrasts to use, of 'g2g', 'l2l' and 'l2g'.
        temperature: MoCo v2's 0.2.
        init_cfg: MMEngine's initialisation; the head has no weights.

    Raises:
        ValueError: for an unknown pair or stage, a negative weight, none left, or a temperature of 0 or less.

    Source: DetCo, equations 1 to 5.
    """

    def __init__(
        self,
        stage_weights: dict[str, float] | None = None,
        pairs: Sequence[str] = ('g2g', 'l2l', 'l2g'),
        temperature: float = 0.2,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if stage_weights is None:
            stage_weights = dict(res2=0.1, res3=0.4, res4=0.7, res5=1.0)
        for stage, weight in stage_weights.items():
            if stage not in STAGES:
                raise ValueError(f'stage {stage!r} in stage_weights is unknown: choose from {", ".join(STAGES)}')
            if weight < 0:
                raise ValueError(f'stage_weights.{stage}={weight}: a weight is 0 (stage off) or above')
        for pair in pairs:
            if pair not in PAIRS:
                raise ValueError(f'pair {pair!r} is unknown: choose from {", ".join(PAIRS)}')
        if not pairs or len(set(pairs)) != len(pairs):
            raise ValueError(f'pairs={tuple(pairs)}: name at least one of {", ".join(PAIRS)}, each once')
        if temperature <= 0:
            raise ValueError(f"temperature={temperature}: it must be above 0; MoCo v2's is 0.2")
        self.stages = tuple(stage for stage in STAGES if stage_weights.get(stage, 0) > 0)
        if not self.stages:
            raise ValueError(f'stage_weights={stage_weights}: give at least one stage a weight above 0')
        self.stage_weights = {stage: float(stage_weights[stage]) for stage in self.stages}
        self.pairs = tuple(pair for pair in PAIRS if pair in pairs)
        self.temperature = temperature
        self.query_scopes = tuple(s for s in SCOPES if s in {PAIRS[pair][0] for pair in self.pairs})
        self.key_scopes = tuple(s for s in SCOPES if s in {PAIRS[pair][1] for pair in self.pairs})

    def forward(
        self, queries: dict[str, Tensor], keys: dict[str, Tensor], negatives: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Contrast queries with keys.

        Queries of both scopes that meet the same keys share one pass over their queues, those of all stages.

        Args:
            queries: scope -> (S, N, D) unit vectors.
            keys: scope -> (S, N, D) unit vectors, without gradient.
            negatives: scope of the keys -> (S, K, D) unit vectors of the queue.

        Returns:
            ``loss_{pair}_{stage}``, already weighted, so that the sum is the objective; and ``acc_{pair}_{stage}``,
            the share of queries whose key beats the whole queue, without a gradient.
        """
        results: dict[str, dict[str, Tensor]] = {'loss': {}, 'acc': {}}
        for key_scope in self.key_scopes:
            pairs = [pair for pair in self.pairs if PAIRS[pair][1] == key_scope]
            query = torch.cat([queries[PAIRS[pair][0]] for pair in pairs], dim=1)
            key = keys[key_scope].repeat(1, len(pairs), 1)
            shape = (len(self.stages), len(pairs), -1)
            loss, hit = (of.view(shape) for of in info_nce(query, key, negatives[key_scope], self.temperature))
            losses, accuracies = loss.mean(2), hit.float().mean(2)
            for stage, stage_losses, stage_accuracies in zip(self.stages, losses, accuracies, strict=True):
                weighted = stage_losses * self.stage_weights[stage]
                for pair, pair_loss, pair_accuracy in zip(pairs, weighted, stage_accuracies, strict=True):
                    results['loss'][f'{pair}_{stage}'] = pair_loss
                    results['acc'][f'{pair}_{stage}'] = pair_accuracy
        return {
            f'{kind}_{pair}_{stage}': results[kind][f'{pair}_{stage}']
            for kind in ('loss', 'acc')
            for pair in self.pairs
            for stage in self.stages
        }
