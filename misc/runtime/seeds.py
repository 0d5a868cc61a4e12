"""Random numbers that follow from a few whole numbers."""

import torch


def mixed_seed(*numbers: int) -> int:
    """Make one seed of several numbers, far from the seeds of neighbouring ones."""
    mixed = 1442695040888963407
    for number in numbers:
        mixed = (mixed * 6364136223846793005 + number + 1) % 2**63
    return mixed


def seed_generators(device: torch.device, *numbers: int) -> None:
    """Seed torch's generators of the CPU and of one device with a mix of numbers.

    Unlike ``torch.manual_seed`` it does not queue a call for a CUDA that never starts, which
    costs half a millisecond and some memory each time.
    """
    torch.default_generator.manual_seed(mixed_seed(*numbers))
    if device.type == "cuda":
        with torch.cuda.device(device):  # manual_seed is of the current device, whichever is used
            torch.cuda.manual_seed(mixed_seed(*numbers))
