// octet efficientdet dataset_convert
#include "base/error.h"
#include "base/parallel.h"
#include "data/coco_records.h"
#include "task/efficientdet/efficientdet.h"
#include "task/run.h"

namespace octet::task::efficientdet {

void DatasetConvert(const spec::Spec& spec) {
  WithReport(spec, "dataset_convert", [&](report::RunReport& report) {
    data::ConvertOptions o;
    o.annotations_file = spec.RequireFile("dataset_convert.annotations_file");
    o.image_dir = spec.RequireFolder("dataset_convert.image_dir");
    o.output_dir = report.folder();
    o.tag = spec.GetString("dataset_convert.tag");
    o.num_shards = static_cast<int>(spec.GetInt("dataset_convert.num_shards"));
    o.include_masks = spec.GetBool("dataset_convert.include_masks");
    o.threads = HardwareThreads();
    const data::ConvertResult r = data::ConvertCoco(o);
    for (size_t c = 0; c < r.classes.size(); ++c) {
      fmt::print("{:>8}  {}\n", r.objects[c], r.classes[c]);
      report.Metric("objects_" + r.classes[c], static_cast<double>(r.objects[c]));
    }
    fmt::print("{} images in {} files below {}; {} boxes left out ({})\n", r.images, r.files.size(), o.output_dir,
               r.dropped_boxes, r.warnings_file);
    report.Metric("images", static_cast<double>(r.images));
    report.Metric("images_skipped", static_cast<double>(r.bad_images));
    report.Metric("boxes_dropped", static_cast<double>(r.dropped_boxes));
    report.OutputFile("warnings", r.warnings_file);
    report.Success("Conversion finished successfully.");
  });
}

}  // namespace octet::task::efficientdet
