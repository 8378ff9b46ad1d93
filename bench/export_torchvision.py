#!/usr/bin/env python3
"""Writes torchvision's network, random weights, as ONNX: export_torchvision.py NETWORK SIZE FILE"""
import sys

import torch
import torchvision

network, size, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.manual_seed(1)
model = getattr(torchvision.models, network)(num_classes=100).eval()
torch.onnx.export(model, torch.randn(1, 3, size, size), path, opset_version=17, input_names=["input_1"],
                  output_names=["logits"], dynamo=False)
