"""What RDKit says about molecules, which are SMILES strings here. RDKit is imported when first asked."""

import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from moco.errors import RequestError

_QUOTES = "`\"'"
_CLOSING_MARKS = ".,;:!?" + _QUOTES
_SPAN = re.compile(r"`([^`]+)`")
_SIMILAR = 0.7
_RANGES = {
    "weight": (float("-inf"), 600.0),
    "logp": (-1.0, 5.0),
    "tpsa": (float("-inf"), 140.0),
    "donors": (float("-inf"), 5.0),
    "acceptors": (float("-inf"), 10.0),
    "rotatable_bonds": (float("-inf"), 10.0),
    "charge": (-2.0, 2.0),
    "accessibility": (float("-inf"), 4.5),
}
_BELOW = frozenset({"weight", "tpsa", "accessibility"})
"""Properties that must be below their upper bound, not at it."""


def require_rdkit() -> None:
    """Stop where RDKit is not installed.

    Raises:
        RequestError: It is not.
    """
    if find_spec("rdkit") is None:
        remedy = "pip install 'moco-bench[molecules]', or rdkit"
        raise RequestError("replies about molecules are scored with rdkit, which is not installed", remedy=remedy)


def readable(smiles: str) -> bool:
    """Return whether RDKit can read a molecule."""
    return _molecule(smiles) is not None


def molecule_in(reply: str) -> str | None:
    """Return the first text of a reply that is a molecule: a line, a span in backticks, or a word from the end."""
    lines = [line.strip().strip(_QUOTES) for line in reply.splitlines()]
    spans = [span.strip() for span in _SPAN.findall(reply)]
    words = [word.strip(_QUOTES) for word in reversed(reply.split())]
    candidates = [*lines, *spans, *(form for word in words for form in (word, word.rstrip(_CLOSING_MARKS)))]
    return next((text for text in candidates if text and text.split() == [text] and readable(text)), None)


def broken_constraints(smiles: str, reference: str) -> list[str]:
    """Return the constraints that a molecule breaks: of a drug, and of being near the reference without being it.

    Args:
        smiles: The molecule.
        reference: The one that it improves on.
    """
    molecule, original = _molecule(smiles), _molecule(reference)
    if molecule is None or original is None:
        return ["readable"]
    if "." in smiles:
        return ["one_molecule"]
    chem, tools = _chem()
    values = {
        "weight": tools.Descriptors.MolWt(molecule),
        "logp": tools.Crippen.MolLogP(molecule),
        "tpsa": tools.rdMolDescriptors.CalcTPSA(molecule),
        "donors": tools.Lipinski.NumHDonors(molecule),
        "acceptors": tools.Lipinski.NumHAcceptors(molecule),
        "rotatable_bonds": tools.Lipinski.NumRotatableBonds(molecule),
        "charge": chem.GetFormalCharge(molecule),
        "accessibility": _accessibility(molecule),
    }
    broken = [name for name, value in values.items() if not _within(name, value)]
    broken += ["radicals"] if tools.Descriptors.NumRadicalElectrons(molecule) else []
    broken += ["alerts"] if _alerts().HasMatch(molecule) else []
    broken += ["differs"] if chem.MolToSmiles(molecule) == chem.MolToSmiles(original) else []
    return broken + ([] if _similarity(molecule, original) >= _SIMILAR else ["similar"])


def _within(name: str, value: float) -> bool:
    low, high = _RANGES[name]
    return low <= value and (value < high if name in _BELOW else value <= high)


def _molecule(smiles: str) -> Any:
    return _chem()[0].MolFromSmiles(smiles)


@cache
def _chem() -> tuple[Any, Any]:
    require_rdkit()
    chem = import_module("rdkit.Chem")
    for name in ("Crippen", "Descriptors", "Lipinski", "rdMolDescriptors"):
        import_module(f"rdkit.Chem.{name}")
    import_module("rdkit.RDLogger").DisableLog("rdApp.*")
    return chem, chem


@cache
def _alerts() -> Any:
    _chem()
    catalogues = import_module("rdkit.Chem.FilterCatalog")
    wanted = catalogues.FilterCatalogParams()
    for name in ("PAINS", "BRENK"):
        wanted.AddCatalog(getattr(catalogues.FilterCatalogParams.FilterCatalogs, name))
    return catalogues.FilterCatalog(wanted)


def _accessibility(molecule: Any) -> float:
    return float(import_module("rdkit.Contrib.SA_Score.sascorer").calculateScore(molecule))


def _similarity(one: Any, other: Any) -> float:
    generator = import_module("rdkit.Chem.rdFingerprintGenerator").GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(molecule) for molecule in (one, other)]
    return float(import_module("rdkit.DataStructs").TanimotoSimilarity(*prints))
