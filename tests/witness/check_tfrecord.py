"""Reads detection TFRecords with protobuf, hashlib, Pillow and pycocotools and compares them with the COCO file they come
from: check_tfrecord.py ANNOTATIONS IMAGE_DIR SHARD..."""
import hashlib
import io
import json
import os
import struct
import sys

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from PIL import Image
from pycocotools import mask as masks


def example_class():
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto

    def message(name):
        return file.message_type.add(name=name)

    def field(owner, name, number, kind, label=kinds.LABEL_OPTIONAL, type_name=None):
        return owner.field.add(name=name, number=number, type=kind, label=label, type_name=type_name)

    for name, kind in (("BytesList", kinds.TYPE_BYTES), ("FloatList", kinds.TYPE_FLOAT), ("Int64List", kinds.TYPE_INT64)):
        field(message(name), "value", 1, kind, kinds.LABEL_REPEATED)
    feature = message("Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind) in enumerate((("bytes_list", "BytesList"), ("float_list", "FloatList"),
                                           ("int64_list", "Int64List")), 1):
        field(feature, name, number, kinds.TYPE_MESSAGE, type_name=f".t.{kind}").oneof_index = 0
    features = message("Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    field(entry, "key", 1, kinds.TYPE_STRING)
    field(entry, "value", 2, kinds.TYPE_MESSAGE, type_name=".t.Feature")
    field(features, "feature", 1, kinds.TYPE_MESSAGE, kinds.LABEL_REPEATED, ".t.Features.FeatureEntry")
    field(message("Example"), "features", 1, kinds.TYPE_MESSAGE, type_name=".t.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


def crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


TABLE = crc_table()


def masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    data = open(path, "rb").read()
    at = 0
    while at < len(data):
        length, crc = struct.unpack_from("<QI", data, at)
        assert crc == masked_crc(data[at:at + 8]), (path, at)
        payload = data[at + 12:at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked_crc(payload), (path, at)
        yield payload
        at += 16 + length


def usable(box, image):
    x, y, w, h = box
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + w, image["width"]), min(y + h, image["height"])
    return w > 0 and h > 0 and x2 - x1 >= 1 and y2 - y1 >= 1


annotations, image_dir, shards = sys.argv[1], sys.argv[2], sys.argv[3:]
truth = json.load(open(annotations))
names = {c["id"]: c["name"] for c in truth["categories"]}
Example = example_class()
found = {}
least_iou = 1.0
for shard in shards:
    for payload in records(shard):
        features = Example.FromString(payload).features.feature

        def get(name):
            return features[name]

        image_id = int(get("image/source_id").bytes_list.value[0])
        assert image_id not in found
        found[image_id] = shards.index(shard)
        index, image = next((i, im) for i, im in enumerate(truth["images"]) if im["id"] == image_id)
        assert index % len(shards) == found[image_id], "round robin"
        encoded = open(os.path.join(image_dir, image["file_name"]), "rb").read()
        assert get("image/encoded").bytes_list.value[0] == encoded
        assert get("image/key/sha256").bytes_list.value[0].decode() == hashlib.sha256(encoded).hexdigest()
        assert get("image/width").int64_list.value[0] == image["width"]
        assert get("image/height").int64_list.value[0] == image["height"]
        assert get("image/format").bytes_list.value[0] == b"jpeg"
        objects = [a for a in truth["annotations"] if a["image_id"] == image_id and usable(a["bbox"], image)]
        if "image/object/mask" in features:
            whole = [masks.frPyObjects(a["segmentation"], image["height"], image["width"]) for a in objects]
            whole = [masks.decode(masks.merge(w) if isinstance(w, list) else w) for w in whole]
            objects = [a for a, w in zip(objects, whole) if w.any()]
            whole = [w for w in whole if w.any()]
            drawn = [np.array(Image.open(io.BytesIO(m))) for m in get("image/object/mask").bytes_list.value]
            assert len(drawn) == len(whole), image_id
            for ours, theirs in zip(drawn, whole):
                assert set(np.unique(ours)) <= {0, 1}
                least_iou = min(least_iou, (ours & theirs).sum() / (ours | theirs).sum())
        boxes = np.array([a["bbox"] for a in objects], dtype=np.float64).reshape(-1, 4)
        for name, values in (("xmin", boxes[:, 0] / image["width"]), ("ymin", boxes[:, 1] / image["height"]),
                             ("xmax", (boxes[:, 0] + boxes[:, 2]) / image["width"]),
                             ("ymax", (boxes[:, 1] + boxes[:, 3]) / image["height"])):
            ours = np.array(get("image/object/bbox/" + name).float_list.value)
            assert ours.shape == values.shape and np.allclose(ours, values, atol=1e-6), (image_id, name)
        labels = [a["category_id"] for a in objects]
        assert list(get("image/object/class/label").int64_list.value) == labels
        assert [t.decode() for t in get("image/object/class/text").bytes_list.value] == [names[i] for i in labels]
        assert list(get("image/object/is_crowd").int64_list.value) == [a.get("iscrowd", 0) for a in objects]
        assert np.allclose(get("image/object/area").float_list.value, [a["area"] for a in objects])
assert len(found) == len(truth["images"]), (len(found), len(truth["images"]))
print(f"{len(found)} records in {len(shards)} shards; least IoU of masks {least_iou:.3f}")
sys.exit(0 if least_iou > 0.9 else 1)
