"""Training images/s of PyTorch (pip install torch torchvision): the same networks, batches and threads as train_step_bench.

usage: train_step.py NETWORK BATCH SIZE [STEPS] [THREADS]; prints the better of the two memory formats as well.
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
if threads > 0:
    torch.set_num_threads(threads)

names = {"resnet_18": "resnet18", "resnet_50": "resnet50", "mobilenet_v2": "mobilenet_v2"}
for channels_last in (False, True):
    model = getattr(torchvision.models, names[network])(num_classes=100).train()
    if network == "mobilenet_v2":
        model.classifier = torch.nn.Sequential(torch.nn.Linear(1280, 100))  # octet's head has no dropout
    x = torch.randn(batch, 3, size, size)
    label = torch.randint(0, 100, (batch,))
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    loss_fn = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    best = best_cpu = 1e9
    for _ in range(steps):
        start, cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = loss_fn(model(x), label)
        loss.item()
        loss.backward()
        optimizer.step()
        best = min(best, time.perf_counter() - start)
        best_cpu = min(best_cpu, time.process_time() - cpu)
    print(f"torch {torch.__version__} {network} batch {batch} size {size} "
          f"{'channels_last' if channels_last else 'contiguous'}: {batch / best:.1f} images/s, {best * 1e3:.1f} ms a step, "
          f"CPU {best_cpu * 1e3:.1f} ms",
          flush=True)
