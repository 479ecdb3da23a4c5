"""Export: a final network in, files out that run without this package, each verified before it is called exported.

In: a trained network, the `data.manifest.Manifest` it was trained by and raw validation examples.
Out: `write.export_network(...)` -> `Exported`: `network.pt2`, `network.onnx` and `network.safetensors` with
`network.json`, which read raw batches: scaling, resizing and normalisation are inside, and quantities come out in the
user's units. `rebuild.load_network` builds the network again from the last two; `predict` runs the ONNX file without
torch. What cannot be written or does not agree with the network is refused by `errors.ExportError`, what a network
cannot read by `errors.PredictError`.
"""

__all__ = ["card", "errors", "freeze", "predict", "predictions", "rebuild", "verify", "write"]
