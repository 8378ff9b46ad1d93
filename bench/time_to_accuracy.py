#!/usr/bin/env python3
"""Seconds of training until a network reaches an accuracy on real photos: FP32 and QAT, octet and PyTorch.

    time_to_accuracy.py --octet build/release/bin/octet --data FOLDER [--epochs 5] [--targets 40 45 50] [--runs octet-fp32 ...]

FOLDER/train and FOLDER/test hold class folders of 32x32 photos (CIFAR-10). ResNet-18 without max pooling, batch 64, SGD with Nesterov
momentum, cosine learning rate, shifts by up to 4 pixels and flips, QAT from the first step on. The seconds are those of the training
steps, data loading included, evaluation not: octet's training.csv and a clock around PyTorch's epochs. PyTorch holds the decoded photos in
memory, runs channels_last, and its QAT is FX graph mode with the default x86 settings.
"""
import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time

SPEC = """
dataset:
  num_classes: 10
  preprocess_mode: torch
  augmentation: {{enable_random_crop: false, enable_center_crop: false, random_shift: 4}}
  train_dataset_path: {data}/train
  val_dataset_path: {data}/test
model: {{backbone: resnet_18, input_width: 32, input_height: 32, use_pooling: false}}
train:
  batch_size_per_gpu: 64
  num_epochs: {epochs}
  checkpoint_interval: 100
  validation_interval: 1
  n_workers: 2
  label_smoothing: 0.05
  optim_config: {{optimizer: sgd, momentum: 0.9, nesterov: true, decay: 0.0}}
  lr_config: {{scheduler: cosine, learning_rate: 0.05, soft_start: 0.1, min_lr_ratio: 0.001}}
  reg_config: {{type: L2, scope: [conv2d, dense], weight_decay: 1.0e-4}}
evaluate: {{batch_size: 50}}
"""


def octet(args, qat):
    with tempfile.TemporaryDirectory() as out:
        spec = os.path.join(out, "spec.yaml")
        with open(spec, "w") as f:
            f.write(SPEC.format(data=os.path.abspath(args.data), epochs=args.epochs))
        subprocess.run([args.octet, "classification", "train", "-e", spec, f"results_dir={out}",
                        f"train.qat={'true' if qat else 'false'}"], check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)
        with open(os.path.join(out, "train", "training.csv")) as f:
            return [(float(row["seconds"]), 100 * float(row["val_accuracy"])) for row in csv.DictReader(f)]


def photos(folder):
    import numpy as np
    import torch
    from PIL import Image

    images, labels = [], []
    for label, name in enumerate(sorted(os.listdir(folder))):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            images.append(np.asarray(Image.open(os.path.join(folder, name, file)).convert("RGB")))
            labels.append(label)
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return (x - mean) / std, torch.tensor(labels)


def pytorch(args, qat):
    import torch
    import torchvision

    torch.manual_seed(1)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    x, y = photos(os.path.join(args.data, "train"))
    test_x, test_y = photos(os.path.join(args.data, "test"))
    model = torchvision.models.resnet18(num_classes=10)
    model.maxpool = torch.nn.Identity()
    model.train()
    if qat:
        from torch.ao.quantization import get_default_qat_qconfig_mapping
        from torch.ao.quantization.quantize_fx import prepare_qat_fx

        model = prepare_qat_fx(model, get_default_qat_qconfig_mapping("x86"), (x[:1],))
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    loss_fn = torch.nn.CrossEntropyLoss(label_smoothing=0.05)
    batches = len(x) // 64
    total, warm = batches * args.epochs, batches * args.epochs // 10
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [
        torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 1.0, warm),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warm, 5e-5)], [warm])
    result = []
    for _ in range(args.epochs):
        start = time.perf_counter()
        model.train()
        order = torch.randperm(len(x))
        for b in range(batches):
            some = order[b * 64:(b + 1) * 64]
            batch = x[some]
            dy, dx = torch.randint(-4, 5, (2,)).tolist()
            batch = torch.nn.functional.pad(batch, (4, 4, 4, 4))[:, :, 4 + dy:36 + dy, 4 + dx:36 + dx]
            flip = torch.rand(64) < 0.5
            batch = torch.where(flip.view(-1, 1, 1, 1), batch.flip(3), batch).contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss_fn(model(batch), y[some]).backward()
            optimizer.step()
            schedule.step()
        seconds = time.perf_counter() - start
        model.eval()
        with torch.no_grad():
            right = sum((model(test_x[i:i + 200]).argmax(1) == test_y[i:i + 200]).sum().item() for i in range(0, len(test_x), 200))
        result.append((seconds, 100 * right / len(test_x)))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--octet", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--targets", type=float, nargs="*", default=[40, 45, 50])
    runs = {"octet-fp32": lambda a: octet(a, False), "octet-qat": lambda a: octet(a, True),
            "pytorch-fp32": lambda a: pytorch(a, False), "pytorch-qat": lambda a: pytorch(a, True)}
    parser.add_argument("--runs", nargs="*", choices=list(runs), default=list(runs))
    args = parser.parse_args()
    print("| training | seconds an epoch | accuracy after each epoch |" + "".join(f" s to {t:g} % |" for t in args.targets))
    print("|---|---:|---|" + "---:|" * len(args.targets))
    for name in args.runs:
        epochs = runs[name](args)
        cells = []
        for target in args.targets:
            passed = 0.0
            for seconds, accuracy in epochs:
                passed += seconds
                if accuracy >= target:
                    break
            else:
                passed = None
            cells.append("not reached" if passed is None else f"{passed:.0f}")
        seconds = sorted(s for s, _ in epochs)[len(epochs) // 2]
        print(f"| {name} | {seconds:.1f} | " + " ".join(f"{a:.1f}" for _, a in epochs) + " | " + " | ".join(cells) + " |",
              flush=True)


if __name__ == "__main__":
    main()
