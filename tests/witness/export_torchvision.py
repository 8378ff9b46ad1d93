"""Exports torchvision's (and timm's) CNN classifiers with random weights, as users' exporters write them, with one input
and PyTorch's output beside each. For a person, with `octet_walk_onnx`: see tests/networks/walk_onnx_main.cc.

usage: export_torchvision.py FOLDER [--names a,b] [--forms ts,bn,dynamo] [--opsets 11,17] [--timm a,b] [--classes 10] [--weights]
forms: ts = TorchScript exporter (folds batch norm), bn = the same, batch norm kept, dynamo = torch.export. Needs torch and
torchvision; dynamo also onnxscript. Files that exist are left alone, so an interrupted run goes on.
"""
import argparse
import json
import os
import struct
import sys
import warnings

import numpy as np
import torch
import torchvision

warnings.filterwarnings("ignore")
FAMILIES = ("resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large "
            "efficientnet_b0 efficientnet_v2_s mnasnet0_5 mnasnet1_0 shufflenet_v2_x0_5 shufflenet_v2_x1_0 squeezenet1_0 "
            "squeezenet1_1 vgg11 vgg11_bn alexnet googlenet inception_v3 regnet_y_400mf regnet_x_400mf convnext_tiny").split()
TIMM = ("resnet26d resnet34 seresnet50 tf_efficientnet_b0 tf_efficientnet_lite0 mobilenetv3_small_050 mnasnet_small ghostnet_050 "
        "mobilenetv4_conv_small mobileone_s0 repvgg_a0 regnetx_002 regnety_002 densenet121 dla34 hardcorenas_a hrnet_w18_small "
        "res2net50_14w_8s cspdarknet53 darknet53 vovnet39a fbnetc_100 efficientvit_b0 convnext_atto edgenext_xx_small "
        "nf_resnet26 repghostnet_050 lcnet_050 tinynet_e skresnet18 rexnetr_200 selecsls42 dpn48b xception41 inception_next_atto "
        "fastvit_t8 starnet_s1 ese_vovnet19b_dw nfnet_l0 mixnet_s resnest14d gernet_s resnetv2_50 eca_resnet33ts "
        "test_resnet test_efficientnet").split()


def size_of(name):
    """Small, but not too small: some networks pool to 7x7, or have an auxiliary head that needs 5x5."""
    if name.startswith(("vgg", "alexnet", "inception_v3")):
        return 224
    return 96 if "xception" in name else 64


def build(name, timm_model, classes):
    torch.manual_seed(1)
    if timm_model:
        import timm
        model = timm.create_model(name, num_classes=classes)
    else:
        kwargs = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        model = getattr(torchvision.models, name)(num_classes=classes, **kwargs)
    size = size_of(name)
    model.train()
    with torch.no_grad():  # batch norms that know an input
        for _ in range(3):
            model(torch.randn(8, 3, size, size))
    return model.eval()


def write_weights(model, path):
    """The state_dict as .safetensors, written by hand: see src/ir/safetensors.h."""
    header, data = {}, b""
    for name, tensor in model.state_dict().items():
        kind = {torch.float32: "F32", torch.int64: "I64"}[tensor.dtype]
        raw = tensor.contiguous().numpy().tobytes()
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def write(model, x, path, form, opset):
    batch = {"input": {0: "N"}, "output": {0: "N"}}
    if form == "dynamo":
        torch.onnx.export(model, (x,), path, dynamo=True, opset_version=max(opset, 18), input_names=["input"],
                          output_names=["output"], dynamic_shapes=({0: torch.export.Dim("N", min=1, max=64)},), verbose=False)
        return
    mode = torch.onnx.TrainingMode.PRESERVE if form == "bn" else torch.onnx.TrainingMode.EVAL
    torch.onnx.export(model, (x,), path, dynamo=False, opset_version=opset, training=mode, input_names=["input"],
                      output_names=["output"], dynamic_axes=batch)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--names")
    parser.add_argument("--timm")
    parser.add_argument("--forms", default="ts,bn,dynamo")
    parser.add_argument("--opsets", default="11,17")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--weights", action="store_true", help="NAME.safetensors instead of .onnx (pretrained_test.cc reads them)")
    args = parser.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    pick = lambda text, known: known if text == "all" else [n for n in (text or "").split(",") if n]
    todo = [(n, False) for n in pick(args.names or ("" if args.timm else "all"), FAMILIES)]
    todo += [(n, True) for n in pick(args.timm, TIMM)]
    failed = []
    for name, timm_model in todo:
        model = None
        if args.weights:
            model, stem = build(name, timm_model, args.classes), f"{args.folder}/{'timm_' if timm_model else ''}{name}"
            x = torch.randn(2, 3, size_of(name), size_of(name))
            write_weights(model, stem + ".safetensors")
            np.save(stem + ".x.npy", x.numpy())
            with torch.no_grad():
                np.save(stem + ".y.npy", model(x).numpy())
            print(stem, flush=True)
            continue
        for form in args.forms.split(","):
            for opset in map(int, args.opsets.split(",")) if form != "dynamo" else [18]:
                stem = f"{args.folder}/{'timm_' if timm_model else ''}{name}.{form}{opset}"
                if os.path.exists(stem + ".onnx"):
                    continue
                try:
                    model = model or build(name, timm_model, args.classes)
                    x = torch.randn(3, 3, size_of(name), size_of(name))
                    write(model, x, stem + ".tmp", form, opset)
                    if os.path.exists(stem + ".tmp.data"):  # the name is written in the file
                        import onnx
                        onnx.save(onnx.load(stem + ".tmp"), stem + ".onnx")
                        os.remove(stem + ".tmp.data")
                        os.remove(stem + ".tmp")
                    else:
                        os.rename(stem + ".tmp", stem + ".onnx")
                    np.save(stem + ".x.npy", x.numpy())
                    with torch.no_grad():
                        np.save(stem + ".y.npy", model(x).numpy())
                    print(stem, flush=True)
                except Exception as error:  # an exporter that cannot write a model is not octet's fault
                    failed.append(f"{stem}: {type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}")
                    print("NOT EXPORTED", failed[-1], flush=True)
    print(f"{len(failed)} not exported")


if __name__ == "__main__":
    sys.exit(main())
