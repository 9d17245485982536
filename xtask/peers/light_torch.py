"""torch as it comes from the package index, without the CUDA libraries that its CPU half never calls: import this first.

`stubs.py` puts empty libraries in their place; symbols that are never called need no address when binding is lazy.
"""

import os
import sys
import warnings

sys.setdlopenflags(os.RTLD_LAZY)
warnings.filterwarnings("ignore")

import torch  # noqa: E402

torch.set_grad_enabled(False)
