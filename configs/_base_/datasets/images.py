# Any folder of images, with or without a list of them. On the command line of the tools data.root and data.ann_file are
# short for the data set's own settings. Pixels that are not 8-bit RGB are described by data.channels, data.bands,
# data.value_range, data.percentiles and data.nodata: docs/data.md.

# DetCo, figure 2b: two global views as MoCo v2's, two local views as PIRL's jigsaw.
train_pipeline = [
    dict(type='detco_mm.DetCoViews'),
    dict(type='detco_mm.JigsawPatches', grid=3, patch_size=64),
    dict(type='detco_mm.PackDetCoInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    # four tensors a batch, and not four an image, cross from the workers
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='detco_mm.ResumableSampler', shuffle=True),
    dataset=dict(
        type='detco_mm.ImageFolder',
        data_root='data/imagenet/train',
        ann_file='',
        pipeline=train_pipeline,
    ),
)
