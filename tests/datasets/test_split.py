"""Shares of a COCO-format set."""

import json

import pytest

from detco_mm.datasets.split import split_coco


@pytest.fixture
def whole(tmp_path):
    """200 images with two annotations each, not in the order of their ids."""
    ids = [(7 * at) % 200 + 1000 for at in range(200)]
    objects = [dict(id=2 * id_ + at, image_id=id_, category_id=1) for id_ in ids for at in range(2)]
    content = dict(images=[dict(id=id_) for id_ in ids], annotations=objects, categories=[dict(id=1, name='a')])
    path = tmp_path / 'instances_train2017.json'
    path.write_text(json.dumps(content))
    return path


def ids(path):
    return {image['id'] for image in json.loads(path.read_text())['images']}


def test_shares_have_their_size_lie_within_each_other_and_keep_all_annotations(whole, tmp_path):
    files = split_coco(whole, tmp_path / 'semi', [1, 2, 5, 10])
    assert [path.name for path in files] == [f'instances_train2017_{p}pct.json' for p in (1, 2, 5, 10)]
    found = [ids(path) for path in files]
    assert [len(part) for part in found] == [2, 4, 10, 20]
    assert found[0] < found[1] < found[2] < found[3] < ids(whole)
    share = json.loads(files[2].read_text())
    assert len(share['annotations']) == 20 and {a['image_id'] for a in share['annotations']} == found[2]
    assert share['categories'] == [dict(id=1, name='a')]


def test_everybody_gets_the_same_and_another_seed_another(whole, tmp_path):
    first = ids(split_coco(whole, tmp_path / 'a', [5])[0])
    content = json.loads(whole.read_text())
    content['images'].reverse()
    whole.write_text(json.dumps(content))
    assert ids(split_coco(whole, tmp_path / 'b', [5])[0]) == first
    assert sorted(first)[:5] == [1005, 1012, 1018, 1098, 1107]  # for good
    assert ids(split_coco(whole, tmp_path / 'c', [5], seed=1)[0]) != first


def test_the_rest_is_what_the_share_leaves(whole, tmp_path):
    share, rest = split_coco(whole, tmp_path, [80], rest=True)
    assert rest.name == 'instances_train2017_80pct-rest.json'
    assert len(ids(share)) == 160 and ids(rest) == ids(whole) - ids(share)
    assert {found['image_id'] for found in json.loads(rest.read_text())['annotations']} == ids(rest)
    with pytest.raises(ValueError, match='100 % of 200 images leaves none for the rest'):
        split_coco(whole, tmp_path, [100], rest=True)


@pytest.mark.parametrize('percent', [0, -1, 101, 0.1])
def test_a_share_that_cannot_be_drawn_is_named(whole, tmp_path, percent):
    with pytest.raises(ValueError, match=f'{percent} % of 200 images'):
        split_coco(whole, tmp_path, [percent])


def test_missing_annotations_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no annotations at'):
        split_coco(tmp_path / 'missing.json', tmp_path, [1])
