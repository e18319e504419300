"""DetCo against MMSelfSup's MoCo and against the reference implementation's equations, step after step in float64."""

import random

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from mmselfsup.models.algorithms import MoCo
from mmselfsup.models.backbones import ResNet
from torch import nn

from detco_mm.weights import from_reference

TOLERANCE = 1e-10
STAGES = ('res2', 'res3', 'res4', 'res5')
NARROW = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN'))
CHANNELS = (8, 16, 32, 64)


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        return ROOT.build(cfg).double().train()


def detco(head, **overrides):
    neck = dict(type='detco_mm.DetCoNeck', in_channels=CHANNELS, out_channels=16, local_projection='joint')
    return build(
        dict(type='detco_mm.DetCo', backbone=NARROW, neck=neck, head=dict(type='detco_mm.DetCoHead', **head))
        | overrides
    )


class Deviation:
    """The largest absolute difference seen between two sides, by what was compared."""

    def __init__(self):
        self.largest = {}

    def see(self, what, ours, theirs):
        assert ours.shape == theirs.shape, what
        self.largest[what] = max(self.largest.get(what, 0.0), (ours - theirs).abs().max().item())

    def check(self):
        print('largest deviations:', ', '.join(f'{what} {value:.1e}' for what, value in self.largest.items()))
        assert max(self.largest.values()) < TOLERANCE, self.largest


# MMSelfSup's MoCo


def moco(queue_len, momentum, temperature):
    return build(
        dict(
            type='MoCo',
            queue_len=queue_len,
            feat_dim=16,
            momentum=momentum,
            backbone=NARROW,
            neck=dict(type='MoCoV2Neck', in_channels=64, hid_channels=64, out_channels=16),
            head=dict(type='ContrastiveHead', loss=dict(type='mmcls.CrossEntropyLoss'), temperature=temperature),
            data_preprocessor=dict(type='SelfSupDataPreprocessor'),
        )
    )


def as_detco(name):
    """MMSelfSup's name in MoCo -> DetCo's; '' for what DetCo has no counterpart of."""
    for theirs, ours in (
        ('encoder_k.module.0.', 'key_encoder.backbone.'),
        ('encoder_k.module.1.mlp.', 'key_encoder.neck.projections.global.res5.'),
        ('neck.mlp.', 'neck.projections.global.res5.'),
        ('backbone.', 'backbone.'),
    ):
        if name.startswith(theirs):
            return ours + name[len(theirs) :]
    return ''


def test_with_g2g_at_res5_alone_it_is_mmselfsups_moco_v2_step_after_step():
    torch.manual_seed(0)
    settings = dict(queue_len=16, momentum=0.9)
    theirs = moco(temperature=0.2, **settings)
    assert type(theirs) is MoCo
    ours = detco(dict(pairs=('g2g',), stage_weights=dict(res5=1.0), temperature=0.2), **settings)
    weights = {as_detco(name): value for name, value in theirs.state_dict().items() if as_detco(name)}
    ours.load_state_dict(weights | {'queue.keys': theirs.queue.T[None], 'queue.pointer': theirs.queue_ptr[0]})
    own = dict(ours.named_parameters())
    pairs = [(own[as_detco(name)], value) for name, value in theirs.named_parameters() if value.requires_grad]
    assert len(pairs) == sum(value.requires_grad for value in own.values())
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9) for model in (ours, theirs)]
    deviation = Deviation()
    for _ in range(7):  # seven batches of four keys: once and three quarters around the queue of 16
        views = [torch.randn(4, 3, 32, 32, dtype=torch.float64) for _ in range(2)]
        unused = torch.zeros(4, 9, 3, 8, 8, dtype=torch.float64)
        losses = [ours.loss([*views, unused, unused])['loss_g2g_res5'], theirs.loss(views, [])['loss']]
        deviation.see('loss', *losses)
        for optimizer, loss in zip(optimizers, losses, strict=True):
            optimizer.zero_grad()
            loss.backward()
        for mine, other in pairs:
            deviation.see('gradient', mine.grad, other.grad)
        for optimizer in optimizers:
            optimizer.step()
        # Not its running statistics, which training never reads: MMEngine copies the query's into the key encoder.
        for name, value in theirs.named_parameters():
            if as_detco(name):
                deviation.see('weights', own[as_detco(name)], value)
        deviation.see('queue', ours.queue.keys[0], theirs.queue.T)
        assert ours.queue.pointer == theirs.queue_ptr
    deviation.check()


# The reference implementation's equations, stated plainly


class ReferenceMLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 16))


class ReferenceEncoder(ResNet):
    """A ResNet that owns two projections a stage; eight vectors an image, the global ones first."""

    def __init__(self):
        super().__init__(**{key: value for key, value in NARROW.items() if key != 'type'})
        self.layers = nn.ModuleList([self.layer1, self.layer2, self.layer3, self.layer4])
        self.global_mlps = nn.ModuleList(ReferenceMLP(width) for width in CHANNELS)
        self.local_mlps = nn.ModuleList(ReferenceMLP(9 * width) for width in CHANNELS)

    def vectors(self, batches, mlps):
        """Run all images of all batches as one, then join what belongs to one image."""
        count, hidden, rows = len(batches[0]), self.maxpool(self.relu(self.bn1(self.conv1(torch.cat(batches))))), []
        for layer, projection in zip(self.layers, mlps, strict=True):
            hidden = layer(hidden)
            pooled = hidden.flatten(2).mean(2)
            joined = torch.stack(
                [torch.cat([pooled[b * count + i] for b in range(len(batches))]) for i in range(count)]
            )
            rows.append(projection.mlp(joined))
        return rows

    def forward(self, images, patches):
        rows = self.vectors([images], self.global_mlps) + self.vectors(patches, self.local_mlps)
        return [F.normalize(row, dim=1) for row in rows]


class Reference(nn.Module):
    def __init__(self, queue_len, momentum, temperature):
        super().__init__()
        self.encoder_q, self.encoder_k = ReferenceEncoder(), ReferenceEncoder()
        self.encoder_k.load_state_dict(self.encoder_q.state_dict())
        self.register_buffer('queue', F.normalize(torch.randn(8, 16, queue_len), dim=1))
        self.register_buffer('queue_ptr', torch.zeros(1, dtype=torch.long))
        self.momentum, self.temperature = momentum, temperature

    def losses(self, query_view, key_view):
        q = self.encoder_q(*query_view)
        with torch.no_grad():
            for old, new in zip(self.encoder_k.parameters(), self.encoder_q.parameters(), strict=True):
                old.copy_(self.momentum * old + (1 - self.momentum) * new)
            k = self.encoder_k(*key_view)
        named = {}
        for pair, query_rows, key_rows in (('g2g', 0, 0), ('l2l', 4, 4), ('l2g', 4, 0)):
            for at, (stage, weight) in enumerate(zip(STAGES, (0.1, 0.4, 0.7, 1.0), strict=True)):
                query, key, queue = q[query_rows + at], k[key_rows + at], self.queue[key_rows + at]
                terms = []
                for i in range(len(query)):
                    positive = torch.exp(query[i] @ key[i] / self.temperature)
                    negatives = torch.exp(query[i] @ queue / self.temperature).sum()
                    terms.append(-torch.log(positive / (positive + negatives)))
                named[f'loss_{pair}_{stage}'] = weight * sum(terms) / len(terms)
        return named, k

    @torch.no_grad()
    def enqueue(self, keys):
        for row, new in zip(self.queue, keys, strict=True):
            for at, key in enumerate(new):
                row[:, (int(self.queue_ptr) + at) % row.shape[1]] = key
        self.queue_ptr.copy_((self.queue_ptr + len(keys[0])) % self.queue.shape[2])


def reference_view(images=4):
    """An image batch, and nine batches of patches cut from it: offsets and order are one draw for the whole batch."""
    batch = torch.randn(images, 3, 48, 48, dtype=torch.float64)
    patches = []
    for top in range(0, 48, 16):
        for left in range(0, 48, 16):
            y, x = top + random.randint(0, 4), left + random.randint(0, 4)
            patches.append(batch[:, :, y : y + 12, x : x + 12])
    random.shuffle(patches)
    return batch, patches


@pytest.mark.parametrize(
    'wrap', [dict, lambda s: {f'module.{k}': v for k, v in s.items()}, lambda s: {'state_dict': s}]
)
def test_from_a_checkpoint_of_the_reference_it_goes_on_as_the_reference_does(wrap):
    torch.manual_seed(1)
    random.seed(1)
    settings = dict(queue_len=12, momentum=0.9)
    theirs = Reference(temperature=0.2, **settings).double().train()
    optimizers = [torch.optim.SGD(theirs.encoder_q.parameters(), lr=0.05)]
    # a run under way: statistics, queue and pointer are not those of the start
    losses, keys = theirs.losses(reference_view(), reference_view())
    sum(losses.values()).backward()
    optimizers[0].step()
    theirs.enqueue(keys)

    ours = detco(dict(temperature=0.2), **settings)
    ours.load_state_dict(from_reference(wrap(theirs.state_dict())), strict=True)
    assert ours.queue.pointer == 4
    optimizers.append(torch.optim.SGD([p for p in ours.parameters() if p.requires_grad], lr=0.05))
    deviation = Deviation()
    for _ in range(4):
        query_view, key_view = reference_view(), reference_view()
        expected, keys = theirs.losses(query_view, key_view)
        found = ours.loss(
            [query_view[0], key_view[0], torch.stack(query_view[1], dim=1), torch.stack(key_view[1], dim=1)]
        )
        for name, loss in expected.items():
            deviation.see('loss', found[name], loss)
        at = (int(ours.queue.pointer) + torch.arange(-4, 0)) % 12
        deviation.see('enqueued keys', ours.queue.keys[:, at], torch.stack(keys))
        for optimizer, terms in zip(optimizers, (expected, found), strict=True):
            optimizer.zero_grad()
            sum(value for name, value in terms.items() if name.startswith('loss')).backward()
        theirs.enqueue(keys)
        gradients = {f'encoder_q.{name}': value.grad for name, value in theirs.encoder_q.named_parameters()}
        gradients = from_reference(theirs.state_dict() | gradients)
        for name, value in ours.named_parameters():
            if value.requires_grad:
                deviation.see('gradient', value.grad, gradients[name])
        for optimizer in optimizers:
            optimizer.step()
        expected_state = from_reference(theirs.state_dict())
        for name, value in ours.state_dict().items():
            deviation.see('state', value, expected_state[name])
    deviation.check()
