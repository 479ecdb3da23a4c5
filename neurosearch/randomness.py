"""Seeds: every random draw of a trial comes from the trial's one seed and a few labels that say what it is for.

A derived seed needs no stored generator state, so a training that stops and resumes draws the same numbers again.
"""

import hashlib

_SEED_BITS = 63  # torch and numpy both take seeds below 2**63


def derive_seed(seed: int, *labels: str | int) -> int:
    """Return the seed of one purpose, such as `derive_seed(7, "order", epoch)`.

    The same arguments give the same seed on every machine and Python version; different labels give seeds that have
    nothing to do with each other. `1` and `"1"` are different labels, and so are `("a", "b")` and `("ab",)`.

    Args:
        seed: The trial's seed, any integer.
        *labels: What the draws are for, and where in the training.

    Returns:
        An integer in [0, 2**63).
    """
    text = repr(
        (
            int(seed),
            *(label if isinstance(label, str) else int(label) for label in labels),
        )
    )
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)
