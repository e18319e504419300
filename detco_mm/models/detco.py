"""DetCo: the algorithm, read like the paper's section 3."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.model import initialize
from mmselfsup.models.algorithms import BaseModel
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from detco_mm.registry import MODELS, STAGES, with_four_maps

from .backbone import SIDE, dry_run, four_maps, freeze_unreached
from .bn_groups import BNGroups, warn_of_norms
from .checkpointing import GradientCheckpointing
from .key_queue import KeyQueue
from .momentum import MomentumEncoder
from .shuffle_bn import Draws, Shuffle


@MODELS.register_module()
class DetCo(BaseModel):
    """Contrast global and local views of an image at every stage of a backbone.

    The query encoder sees a global and a local view, the momentum encoder another of each. What no pair uses is not
    built: no projection of an unused stage or scope, no queue of keys that nobody meets. Of the backbone nothing is
    deleted; weights that no loss reaches are frozen.

    Args:
        backbone: any config of MMSelfSup, MMClassification, MMDetection or timm (``mmcls.TIMMBackbone`` with
            ``features_only``) that returns four maps, of strides 4, 8, 16 and 32; its own `out_indices` say which.
            MMSelfSup's ResNets return all four where that is left out.
        neck: DetCoNeck, or a class of your own: it is built with ``in_channels`` (four numbers, found by a dry run
            where the config leaves them out), ``stages`` and ``scopes``, has ``out_channels`` D, and
            ``forward(maps, scope)`` turns S maps, (N, C, h, w) or for 'local' (N * P, C, h, w), into (S, N, D) unit
            vectors. A neck with ``num_patches`` is told P by its own config; one with ``pool(maps)``, whose results
            ``forward`` takes in place of the maps, projects the groups of ``bn_splits`` together.
        head: DetCoHead, or a class of your own: it has ``stages``, ``query_scopes`` and ``key_scopes``, and
            ``forward(queries, keys, negatives)``, dicts of scope -> (S, N, D), (S, N, D) and (S, K, D), returns named
            losses.
        queue_len: K.
        momentum: m, the share of its own weights that the key encoder keeps.
        shuffle_bn: encode the keys in an order drawn over all ranks, as MoCo does, so that BN leaks nothing.
        bn_splits: on each rank, the number of groups of the shuffled batch over which the key encoder's BN takes its
            statistics; it divides N. 'auto': 1 on several ranks; one process has nobody to shuffle with and imitates
            as many GPUs (:func:`detco_mm.models.bn_groups.number_of_groups`). A key encoder without BN is neither
            shuffled nor split.
        data_preprocessor: DetCoDataPreprocessor.
        init_cfg: MMEngine's initialisation.
        start_from: a file that holds the backbone, or the arguments of an initializer such as
            ``dict(type='detco_mm.StartFrom', checkpoint=FILE, projections=True)``: what both encoders start from.
        queue_dtype: 'float32', or 'float16' or 'bfloat16' to store the queue in half the memory; KeyQueue says what it
            costs.
        compile_backbone: True, or arguments of `torch.compile`, to compile both backbones and nothing else: the shuffle
            does not compile (pytorch#97123). Names in checkpoints stay as they are. Unlike MMEngine's `compile`, which
            takes the whole step.

    Weights are laid out as channels last where the preprocessor's `channels_last` says so of the images.

    Raises:
        ValueError: for an argument that the rules above exclude; it names value, rule and way out.

    Source: DetCo (arXiv 2102.04803), section 3 and figure 2b; MoCo v2 for the hyper-parameters.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        queue_len: int = 65536,
        momentum: float = 0.999,
        shuffle_bn: bool = True,
        bn_splits: int | str = 1,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
        queue_dtype: str = 'float32',
        compile_backbone: bool | dict = False,
        start_from: str | dict | None = None,
    ) -> None:
        super().__init__(
            backbone=with_four_maps(backbone),
            data_preprocessor=copy.copy(data_preprocessor) or dict(type='detco_mm.DetCoDataPreprocessor'),
            init_cfg=init_cfg,
        )
        self.head = MODELS.build(head)
        self._places = [STAGES.index(stage) for stage in self.head.stages]
        # Keys are projected by averages of the query's projections, so the query has those of both.
        scopes = [s for s in ('global', 'local') if s in self.head.query_scopes + self.head.key_scopes]
        self._build_neck(neck, scopes)
        self._checkpointing = GradientCheckpointing(self.backbone)
        self.key_encoder = MomentumEncoder(self.backbone, self.neck, momentum)
        num_rows = len(self.head.key_scopes) * len(self.head.stages)
        self.queue = KeyQueue(num_rows, queue_len, self.neck.out_channels, queue_dtype)
        channels_last = getattr(self.data_preprocessor, 'channels_last', False)
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self._layout)
        if compile_backbone:
            # Whole and patches have each their own code: one for all sizes, which PyTorch tries next, is slower.
            options = dict(dynamic=False) | ({} if compile_backbone is True else dict(compile_backbone))
            for encoder in (self, self.key_encoder):
                encoder.backbone.compile(**options)
        start = dict(type='detco_mm.StartFrom', checkpoint=start_from) if isinstance(start_from, str) else start_from
        self._start_from = start
        self._draws = Draws()
        self._pending_keys: list[Tensor] = []
        self._accumulating = False
        self._sides_known: set[int] = set()  # of views that the backbone is known to take
        has_bn = any(isinstance(module, _BatchNorm) for module in self.key_encoder.modules())
        self.bn_groups = BNGroups(bn_splits, shuffle_bn, has_bn)
        self.check_norms()

    def check_norms(self) -> None:
        """Warn of BN that would corrupt a pre-training; to be called again where somebody has replaced it since."""
        warn_of_norms(self.backbone)

    def _build_neck(self, neck: dict, scopes: list[str]) -> None:
        """Find what the backbone returns, build the neck for it, freeze what no loss reaches."""
        maps = four_maps(self.backbone, self._num_channels())
        channels = tuple(found.shape[1] for found in maps)
        given = tuple(neck.get('in_channels', channels))
        if given != channels:
            raise ValueError(
                f'model.neck.in_channels={given}, and {type(self.backbone).__name__} returns maps of '
                f'{", ".join(map(str, channels))} channels: leave in_channels out, and they are found'
            )
        self.neck = MODELS.build(dict(neck, in_channels=channels, stages=self.head.stages, scopes=scopes))
        frozen = freeze_unreached(self.backbone, [maps[place] for place in self._places])
        if set(scopes) - set(self.head.query_scopes):
            # l2g without g2g: the keys' global projection stays as it was drawn, for keys carry no gradient.
            vectors = []
            for scope in self.head.query_scopes:
                rows = getattr(self.neck, 'num_patches', 1) if scope == 'local' else 1
                vectors.append(self.neck([maps[place].detach().repeat(rows, 1, 1, 1) for place in self._places], scope))
            frozen += freeze_unreached(self.neck, vectors)
        if frozen:
            print_log(f'frozen, for no loss reaches them: {len(frozen)} weights, {frozen[0]} first', logger='current')

    def _num_channels(self) -> int:
        """How many channels the preprocessor makes."""
        mean = getattr(self.data_preprocessor, 'mean', None)
        return mean.numel() if isinstance(mean, Tensor) else 3

    def init_weights(self) -> None:
        """Initialise the query encoder and make the key encoder its copy."""
        self.to(memory_format=torch.contiguous_format)  # numbers are drawn in the order of memory
        super().init_weights()
        if self._start_from:
            initialize(self, self._start_from)
        self.key_encoder.copy_from(self.backbone, self.neck)
        self.to(memory_format=self._layout)

    def extract_feat(self, inputs: list[Tensor] | Tensor, **kwargs) -> tuple[Tensor, ...]:
        """Map images to the stage maps of the query backbone.

        Args:
            inputs: (N, 3, H, W), or a list that starts with it.
            kwargs: `data_samples` and `stage` of MMSelfSup's callers, unused.

        Returns:
            For each stage used, (N, C, h, w).
        """
        maps = self.backbone(inputs if isinstance(inputs, Tensor) else inputs[0])
        return tuple(maps[place] for place in self._places)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Mark a micro-batch that is not the last of its optimizer step.

        MMEngine's OptimWrapper enters this under gradient accumulation, but where DDP wraps the model it enters DDP's
        method of the same name instead, of which the model does not hear. detco_mm.ResumableTrainLoop enters both; a
        loop of your own around DDP does so by ``with wrapper.no_sync(), wrapper.module.no_sync():``.
        """
        before, self._accumulating = self._accumulating, True
        try:
            yield
        finally:
            self._accumulating = before

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """One step of DetCo.

        In evaluation mode or without gradients, nobody is going to take a step: key encoder and queue stay as they are.

        Args:
            inputs: normalised floats: global query (N, 3, H, W), global key (N, 3, H, W), local query (N, P, 3, h, w),
                local key (N, P, 3, h, w).
            data_samples: unused.

        Returns:
            ``loss_{pair}_{stage}``, weighted, whose sum is the objective, and ``acc_{pair}_{stage}``.
        """
        global_query, global_key, local_query, local_key = inputs
        trains = self.training and torch.is_grad_enabled()
        starts_step = trains and not self._pending_keys
        self.queue.check_batch((len(self._pending_keys) + 1) * len(global_key) * get_world_size())

        # queries: each scope that a pair uses
        query_views = {'global': global_query, 'local': local_query}
        queries = {scope: self._encode(self, query_views[scope], scope) for scope in self.head.query_scopes}

        # keys, without a gradient
        with torch.no_grad():
            if starts_step:
                self.key_encoder.update(self.backbone, self.neck)
            key_views = {'global': global_key, 'local': local_key}
            # who only looks leaves the orders of the steps to come as they are
            draws = self._draws if trains else Draws()
            keys = self._encode_keys({scope: key_views[scope] for scope in self.head.key_scopes}, draws)

        # contrast with the positives and the queues
        rows = self.queue.keys.view(len(self.head.key_scopes), len(self.head.stages), *self.queue.keys.shape[1:])
        losses = self.head(queries, keys, dict(zip(self.head.key_scopes, rows, strict=True)))

        # dequeue and enqueue, once an optimizer step
        if not trains:
            return losses
        self._pending_keys.append(torch.cat([keys[scope] for scope in self.head.key_scopes]))
        if not self._accumulating:
            self.queue.enqueue(torch.cat(self._pending_keys, dim=1))
            self._pending_keys.clear()
        return losses

    @torch.no_grad()
    def embed(self, inputs: list[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        """Embed views to look at them: nothing is shuffled, no key enters the queue.

        Args:
            inputs: as for :meth:`loss`.

        Returns:
            For each scope whose keys a pair uses, queries and keys of the same images, each (S, N, D).
        """
        global_query, global_key, local_query, local_key = inputs
        views = {'global': (global_query, global_key), 'local': (local_query, local_key)}

        def encode(encoder: Any, view: Tensor, scope: str) -> Tensor:
            maps = encoder.backbone.forward(view.flatten(0, -4))  # not __call__, which may be compiled
            return encoder.neck([maps[place] for place in self._places], scope)

        return {
            scope: (encode(self, views[scope][0], scope), encode(self.key_encoder, views[scope][1], scope))
            for scope in self.head.key_scopes
        }

    def _encode(self, encoder: Any, view: Tensor, scope: str, groups: int = 1) -> Tensor:
        """Encode one view, patches as a batch of small images and BN's groups one by one, to (S, N, D)."""
        images = view.flatten(0, 1) if scope == 'local' else view
        side = min(images.shape[2:])
        if side not in self._sides_known:
            if side < SIDE:
                dry_run(self.backbone, images.shape[1], side)
            self._sides_known.add(side)
        pool = getattr(encoder.neck, 'pool', None) if groups > 1 else None
        parts = []
        for group in images.chunk(groups):
            with self._checkpointing():  # of use to the query alone: keys have no gradient
                maps = encoder.backbone(group)
            maps = [maps[place] for place in self._places]
            parts.append(pool(maps) if pool else encoder.neck(maps, scope))
        if pool:  # project all groups together
            return encoder.neck([torch.cat(pooled) for pooled in zip(*parts, strict=True)], scope)
        return parts[0] if groups == 1 else torch.cat(parts, dim=1)

    def _encode_keys(self, views: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Encode the key views, shuffled for making use of BN, to scope -> (S, N, D)."""
        count, device = len(next(iter(views.values()))), next(iter(views.values())).device
        groups = self.bn_groups(count)
        if not (self.bn_groups.shuffle_bn and (get_world_size() > 1 or groups > 1)):
            return {scope: self._encode(self.key_encoder, view, scope, groups) for scope, view in views.items()}
        shuffle = Shuffle(draws.permutation(count * get_world_size()), device)
        shuffled = self._exchange(list(views.values()), shuffle)
        keys = [
            self._encode(self.key_encoder, view, scope, groups) for scope, view in zip(views, shuffled, strict=True)
        ]
        own = shuffle.back(torch.cat(keys).transpose(0, 1)).transpose(0, 1)
        return dict(zip(views, own.chunk(len(views)), strict=True))

    def _exchange(self, views: list[Tensor], shuffle: Shuffle) -> list[Tensor]:
        """Bring images to the ranks that encode them: as uint8, a quarter of the bytes, where they were that before."""
        preprocessor: Any = self.data_preprocessor
        if get_world_size() > 1 and hasattr(preprocessor, 'source'):
            sources = [preprocessor.source(view) for view in views]
            if all(source is not None for source in sources):
                return [preprocessor.normalise(source) for source in shuffle.there(sources)]
        moved = shuffle.there(views)
        return [
            view.flatten(0, -4).contiguous(memory_format=self._layout).unflatten(0, view.shape[:-3]) for view in moved
        ]
