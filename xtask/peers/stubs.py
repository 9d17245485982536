"""Links empty libraries in place of the CUDA libraries (two gigabytes) that torch's loader asks for; `light_torch.py` does the rest."""

import subprocess
import sys
import sysconfig
from pathlib import Path

CUDA = """libcudnn.so.9 libcufile.so.0 libcusparse.so.12 libcufft.so.12 libcusparseLt.so.0 libnccl.so.2 libcurand.so.10
libcublas.so.13 libcublasLt.so.13 libnvshmem_host.so.3 libcusolver.so.12""".split()

lib = Path(sysconfig.get_paths()["purelib"]) / "torch/lib"
if not lib.is_dir():
    sys.exit(f"{lib}: torch is not installed")
for name in CUDA:
    empty = ["cc", "-shared", "-nostdlib", "-x", "c", "/dev/null", f"-Wl,-soname,{name}", "-o", str(lib / name)]
    subprocess.run(empty, check=True)
