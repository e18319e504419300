# RetinaNet R50-FPN on 10 % of COCO's labels, as tools/split_coco.py draws them; 12k iterations.
_base_ = 'retinanet_r50_fpn_12k_coco.py'

train_dataloader = dict(dataset=dict(ann_file='annotations/semi/instances_train2017_10pct.json'))
