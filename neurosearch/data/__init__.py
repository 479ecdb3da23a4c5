"""Data: a source's raw arrays in, normalised memory-mapped parts and batches out.

In: an `ArraySource` (`digits.DigitsSource`, `npz.NpzSource`, `torchvision.TorchvisionSource`, `images.ImageSource` for
files that `image_folder` or `image_list` finds, `bucket` for what lies in S3, `functions` and `spiral` for computed
data, or a user's own) and `prepared.PrepareSettings`.
Out: `prepared.prepare(...)` -> `PreparedData`, a folder of `.npy` files that all workers of a node map into memory,
with a manifest; `batches.ArrayBatches`, what the trainer draws from, in the order of `sampling` and augmented as
`augmentation` says; `preprocess.Preprocess`, the raw-to-normalised module that made the arrays and goes into the
exported graph unchanged, as does what `postprocess` makes to undo the scaling of `targets`. `known.Known` tells data
that was prepared before from a source that has changed since. Bad data is refused by one
`problems.DataError` that lists everything found.
"""

__all__ = [
    "arrays",
    "augmentation",
    "batches",
    "bucket",
    "decoding",
    "digits",
    "folder_parts",
    "functions",
    "idx",
    "image_folder",
    "image_list",
    "images",
    "known",
    "listing",
    "long_tail",
    "manifest",
    "npz",
    "object_cache",
    "plain_pickle",
    "postprocess",
    "prepared",
    "preprocess",
    "problems",
    "s3",
    "sampling",
    "selection",
    "spec",
    "spiral",
    "split",
    "targets",
    "torchvision",
]
