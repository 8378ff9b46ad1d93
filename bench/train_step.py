"""Training images/s of PyTorch (pip install torch torchvision): the same networks, batches and threads as train_step_bench.

usage: train_step.py NETWORK BATCH SIZE [STEPS] [THREADS] [fp32|qat]; prints the better of the two memory formats as well.
qat: FX graph mode quantization-aware training with the default x86 settings.
"""
import sys
import time

import torch
import torchvision

network = sys.argv[1] if len(sys.argv) > 1 else "resnet_18"
batch = int(sys.argv[2]) if len(sys.argv) > 2 else 16
size = int(sys.argv[3]) if len(sys.argv) > 3 else 224
steps = int(sys.argv[4]) if len(sys.argv) > 4 else 5
threads = int(sys.argv[5]) if len(sys.argv) > 5 else 0
mode = sys.argv[6] if len(sys.argv) > 6 else "fp32"
if threads > 0:
    torch.set_num_threads(threads)


def memory_mib(key):
    for line in open("/proc/self/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return 0.0



class CifarResNet(torch.nn.Module):
    """As in train_step_bench.cc: 6n + 2 layers for 32x32 images."""

    class Block(torch.nn.Module):
        def __init__(self, before, channels, stride):
            super().__init__()
            self.conv1 = torch.nn.Conv2d(before, channels, 3, stride, 1, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(channels)
            self.relu1 = torch.nn.ReLU(inplace=True)
            self.conv2 = torch.nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
            self.bn2 = torch.nn.BatchNorm2d(channels)
            self.shortcut = torch.nn.Identity() if stride == 1 else torch.nn.Sequential(
                torch.nn.Conv2d(before, channels, 1, stride, bias=False), torch.nn.BatchNorm2d(channels))
            self.relu = torch.nn.ReLU(inplace=True)

        def forward(self, x):
            y = self.relu1(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    def __init__(self, depth, classes):
        super().__init__()
        layers = [torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(16), torch.nn.ReLU(inplace=True)]
        before = 16
        for stage in range(3):
            for i in range((depth - 2) // 6):
                layers.append(self.Block(before, 16 << stage, 2 if stage > 0 and i == 0 else 1))
                before = 16 << stage
        self.features = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        self.head = torch.nn.Linear(64, classes)

    def forward(self, x):
        return self.head(self.features(x))


def make(network):
    if network.startswith("cifar_resnet_"):
        return CifarResNet(int(network.rsplit("_", 1)[1]), 100)
    model = getattr(torchvision.models, names[network])(num_classes=100)
    if network == "mobilenet_v2":
        model.classifier = torch.nn.Sequential(torch.nn.Linear(1280, 100))  # octet's head has no dropout
    return model


names = {"resnet_18": "resnet18", "resnet_50": "resnet50", "mobilenet_v2": "mobilenet_v2", "efficientnet-b0": "efficientnet_b0"}
for channels_last in (False, True):
    model = make(network).train()
    x = torch.randn(batch, 3, size, size)
    label = torch.randint(0, 100, (batch,))
    if mode == "qat":
        from torch.ao.quantization import get_default_qat_qconfig_mapping
        from torch.ao.quantization.quantize_fx import prepare_qat_fx

        model = prepare_qat_fx(model, get_default_qat_qconfig_mapping("x86"), (x[:1],))
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    loss_fn = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    best_cpu = 1e9
    seconds = []
    before = memory_mib("VmRSS")
    for _ in range(steps):
        start, cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = loss_fn(model(x), label)
        loss.item()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        best_cpu = min(best_cpu, time.process_time() - cpu)
    best = min(seconds)
    print(f"torch {torch.__version__} {network} {mode} batch {batch} size {size} "
          f"{'channels_last' if channels_last else 'contiguous'}: {batch / best:.1f} images/s, {best * 1e3:.1f} ms a step "
          f"(median {sorted(seconds)[len(seconds) // 2] * 1e3:.1f}), CPU {best_cpu * 1e3:.1f} ms, "
          f"memory {memory_mib('VmHWM') - before:.0f} MiB",
          flush=True)
