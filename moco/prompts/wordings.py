"""Questions of task types whose items are no texts: molecules to tell apart, a model to speed up."""

from collections.abc import Sequence

FUNCTION = "check_pharmacophore"
"""Name of the function that tells molecules apart."""

_EXAMPLE = """\
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, a, b):
        return a + b


def get_inputs():
    return [torch.randn(1, 128).cuda(), torch.randn(1, 128).cuda()]


def get_init_inputs():
    return []"""

_FASTER = """\
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cuda = '''
__global__ void add(const float* a, const float* b, float* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = a[i] + b[i];
}

torch::Tensor sum(torch::Tensor a, torch::Tensor b) {
    auto out = torch::empty_like(a);
    int n = a.numel();
    add<<<(n + 255) / 256, 256>>>(a.data_ptr<float>(), b.data_ptr<float>(), out.data_ptr<float>(), n);
    return out;
}
'''

operators = load_inline(
    name="operators",
    cpp_sources="torch::Tensor sum(torch::Tensor a, torch::Tensor b);",
    cuda_sources=cuda,
    functions=["sum"],
)


class ModelNew(nn.Module):
    def forward(self, a, b):
        return operators.sum(a, b)"""


def pharmacophore_question(actives: Sequence[str], decoys: Sequence[str]) -> str:
    """Return the task to write a function that tells actives from decoys."""
    return "\n".join(
        [
            "Below are molecules, as SMILES strings, that act on one target, and others that do not.",
            "",
            "Actives:",
            *actives,
            "",
            "Decoys:",
            *decoys,
            "",
            f"Write a Python function `{FUNCTION}(smiles: str) -> bool` that returns True if a molecule has the"
            " pharmacophore of the actives, and False if not. Use well-known interfaces of RDKit: parsing of molecules,"
            " Morgan and MACCS fingerprints, chemical features, SMARTS patterns; not its modules for two- and"
            " three-dimensional pharmacophores. Reply with the function only, in a Python code block.",
        ]
    )


def kernel_question(source: str) -> str:
    """Return the task to speed up a PyTorch model with operators of one's own."""
    return "\n".join(
        [
            "Write custom CUDA operators that speed up a PyTorch model. You choose which of its operators to replace,"
            " and may fuse several. For example, for the model",
            "",
            "```python",
            _EXAMPLE,
            "```",
            "",
            "this is a version with an operator of its own:",
            "",
            "```python",
            _FASTER,
            "```",
            "",
            "Speed up this model:",
            "",
            "```python",
            source.strip("\n"),
            "```",
            "",
            "Compute in 32-bit floating point. Name the class `ModelNew`; it takes the same arguments as `Model`. Reply"
            " with the whole code in one Python code block: real code that compiles, no tests and nothing else.",
        ]
    )
