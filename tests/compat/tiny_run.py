"""A run of MMEngine alone, of milliseconds; it does not import the package."""

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))

    def forward(self, inputs, mode):
        return dict(loss=(self.weight * torch.stack(inputs).mean()).sum())


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([float(index)]))


def run(work_dir, epochs, checkpoint, resume=None, window=10):
    """Two steps an epoch, with a checkpoint hook; ``resume`` from a file."""
    return Runner(
        Model(),
        str(work_dir),
        train_dataloader=dict(dataset=Numbers(), batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        default_hooks=dict(checkpoint=dict(type=checkpoint, interval=1)),
        log_processor=dict(window_size=window),
        default_scope='mmengine',
        load_from=resume and str(resume),
        resume=resume is not None,
        experiment_name=str(work_dir),  # MMEngine keeps a Runner's logger under its name
    )
