"""Settings of a cluster as an operator would write them."""

from neurosearch.cluster.settings import read_settings

IMAGE = "registry.example.org/neurosearch:0.1.0-ray2.60.0"
PLAIN = """name: a
data: {kind: digits}
model: {kind: mlp, widths: [8]}
training: {epochs: 2, learning_rate: 0.01}
growth: {kind: static}
"""
TEXT = """
ray_version: 2.60.0
pools:
  - {name: cpu, cpus: 8, memory: 28Gi, max_workers: 4}
  - {name: gpu, cpus: 16, memory: 60Gi, gpus: 2, max_workers: 2, tolerations: [{key: nvidia.com/gpu}]}
storage:
  database: postgresql://studies@postgres:5432/studies
  artifacts: s3://trials/studies
  s3: {endpoint: "http://s3:9000", path_style: true}
"""


def settings(changes="", image=IMAGE):
    return read_settings(TEXT + changes, image, "cluster.yaml")
