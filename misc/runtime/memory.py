"""How the process holds memory; imported before torch, so that it holds for all of it."""

import ctypes
import os
import platform

# Of malloc.h, and the values that we want.
MALLOC_OPTIONS = {
    -4: 0,  # M_MMAP_MAX: large blocks come from the heap, not from mappings of their own
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: the heap's free end is not given back
    -2: 256 * 2**20,  # M_TOP_PAD: the heap grows in large steps
}

# oneDNN keeps compiled code and buffers of as many products and convolutions; batches of captions
# are all of different lengths, and its own 1,024 grow to gigabytes.
ONEDNN_KEPT = 32


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next allocation, where it is glibc.

    Otherwise each activation is given back to the system when it is freed, and its pages are
    faulted in again, one by one, for the next batch: up to half of the time of encoding images on
    CPUs. It costs what lies between the peak and the present use, and rounds the heap up by
    256 MB of addresses, which are not memory until they are used. It also limits what oneDNN keeps.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(ONEDNN_KEPT))
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in MALLOC_OPTIONS.items():
            libc.mallopt(option, value)
