// What the weights of a zoo network are called in torchvision's and timm's files of the same architecture.
#pragma once

#include <string>
#include <vector>

namespace octet::zoo {

// Names, most likely first, under which another toolkit keeps the constant `name` of `backbone`
// ("block_2a_conv_1.weight" of resnet_18: "layer2.0.conv1.weight"). Always begins with `name` itself. Known: ResNet,
// MobileNetV2, EfficientNet B0-B7 and Lite. PyTorch's names of batch norm parts are weight, bias, running_mean,
// running_var.
std::vector<std::string> NamesElsewhere(const std::string& backbone, const std::string& name);

}  // namespace octet::zoo
