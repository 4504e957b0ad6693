"""Which samples validate: a function of the sample's id and a seed only, so that adding data moves no sample."""

import hashlib


def is_validation(sample_id: str, fraction: float, seed: int) -> bool:
    """Whether a sample belongs to the validation side, which gets about ``fraction`` of all ids."""
    digest = hashlib.blake2b(f"{seed}/{sample_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64
