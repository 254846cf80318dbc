"""Source hashes follow what code does, across modules, and nothing else."""

import pytest

from moco.methods.catalogue import method_class, method_ids
from moco.scoring import scorer_module, task_types
from moco.workflow import sources
from moco.workflow.sources import source_hash, syntax_digest

SOURCE = '''
"""A module."""
import os


class A:
    """A class."""

    size = 3

    def grow(self, by: int = 1) -> int:
        """Grow."""
        return self.size + by


async def later():
    """Wait."""
    return "text"
'''

SAME = {
    "comment": SOURCE.replace("size = 3", "size = 3  # three\n    # more"),
    "docstring of a module": SOURCE.replace("A module.", "Another module."),
    "docstring of a class": SOURCE.replace('    """A class."""\n', ""),
    "docstring of a function": SOURCE.replace('        """Grow."""\n', ""),
    "docstring of a coroutine": SOURCE.replace("Wait.", "Waits long."),
    "layout": SOURCE.replace("grow(self, by: int = 1)", "grow(\n        self,\n        by: int = 1,\n    )"),
    "quotes": SOURCE.replace('"text"', "'text'"),
    "prefix of a text": SOURCE.replace('"text"', 'u"text"'),
    "brackets": SOURCE.replace("self.size + by", "(self.size + by)"),
    "blank lines": SOURCE.replace("\n\n", "\n\n\n"),
    "way to write a number": SOURCE.replace("size = 3", "size = 0x3"),
}
OTHER = {
    "constant": SOURCE.replace("size = 3", "size = 4"),
    "type of a constant": SOURCE.replace("size = 3", "size = 3.0"),
    "truth": SOURCE.replace("size = 3", "size = True"),
    "text": SOURCE.replace('"text"', '"Text"'),
    "bytes": SOURCE.replace('"text"', 'b"text"'),
    "operator": SOURCE.replace("self.size + by", "self.size - by"),
    "default": SOURCE.replace("by: int = 1", "by: int = 2"),
    "no default": SOURCE.replace("by: int = 1", "by: int"),
    "name": SOURCE.replace("grow", "groww"),
    "annotation": SOURCE.replace("-> int", "-> float"),
    "import": SOURCE.replace("import os", "import re"),
    "order": SOURCE.replace("self.size + by", "by + self.size"),
    "a text that is no docstring": SOURCE.replace("    size = 3", '    size = 3\n    "note"'),
}


@pytest.mark.parametrize("name", SAME)
def test_what_does_nothing_leaves_the_digest(name):
    assert SAME[name] != SOURCE
    assert syntax_digest(SAME[name]) == syntax_digest(SOURCE)


@pytest.mark.parametrize("name", OTHER)
def test_what_does_something_changes_the_digest(name):
    assert OTHER[name] != SOURCE
    assert syntax_digest(OTHER[name]) != syntax_digest(SOURCE)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the same name with a method, shared modules and others."""
    files = {
        "methods/text/m.py": "from moco.prompts.blocks import ask\nimport moco.records\n\nx = 1\n",
        "methods/text/lazy.py": "def answer():\n    from moco.methods.shared import deep\n\n    return deep\n",
        "methods/text/plain.py": "x = 1\n",
        "methods/base.py": "x = 1\n",
        "prompts/__init__.py": "",
        "prompts/blocks.py": "from moco.methods.shared.deep import y\nask = 1\n",
        "prompts/unused.py": "z = 1\n",
        "methods/shared/__init__.py": "",
        "methods/shared/deep.py": "from moco.prompts import blocks\ny = 1\n",
        "records.py": "r = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / "moco" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sources, "_PACKAGE", tmp_path / "moco")
    sources._file_of.cache_clear()
    yield tmp_path / "moco"
    sources._file_of.cache_clear()


METHOD, LAZY, PLAIN = "moco.methods.text.m", "moco.methods.text.lazy", "moco.methods.text.plain"


@pytest.mark.parametrize(
    ("changed", "affected"),
    [
        ("methods/text/m.py", {METHOD}),
        ("prompts/blocks.py", {METHOD, LAZY}),
        ("methods/shared/deep.py", {METHOD, LAZY}),
        ("prompts/unused.py", set()),
        ("records.py", set()),
        ("methods/base.py", set()),
    ],
)
def test_a_change_reaches_those_who_import_it_however_deep(package, changed, affected):
    before = {name: source_hash(name) for name in (METHOD, LAZY, PLAIN)}
    with (package / changed).open("a") as stream:
        stream.write("\n# a comment\n")
    assert {name: source_hash(name) for name in before} == before
    with (package / changed).open("a") as stream:
        stream.write("new = 1\n")
    assert {name for name in before if source_hash(name) != before[name]} == affected


@pytest.mark.usefixtures("package")
def test_a_hash_of_several_modules_is_that_of_their_union():
    assert source_hash(METHOD, PLAIN) == source_hash(PLAIN, METHOD)
    assert source_hash(METHOD, PLAIN) not in (source_hash(METHOD), source_hash(PLAIN))
    assert source_hash(METHOD) == source_hash(METHOD, "moco.prompts.blocks")


def test_a_plug_in_is_found_where_it_is_installed(tmp_path, monkeypatch):
    (tmp_path / "plugin_for_hash.py").write_text("from moco.prompts import blocks\nx = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    sources._file_of.cache_clear()
    before = source_hash("plugin_for_hash")
    (tmp_path / "plugin_for_hash.py").write_text("from moco.prompts import blocks\nx = 2\n")
    assert source_hash("plugin_for_hash") != before
    assert source_hash("no_such_module_anywhere") == source_hash()


def test_all_methods_and_scorers_have_hashes_of_their_own():
    modules = [method_class(id).__module__ for id in method_ids()] + [scorer_module(kind) for kind in task_types()]
    hashes = {module: source_hash(module) for module in modules}
    assert len(set(hashes.values())) == len(set(modules))
    assert all(len(value) == 16 for value in hashes.values())


def test_a_helper_of_a_sibling_method_counts(package):
    (package / "methods/text/n.py").write_text("from moco.methods.text.plain import x\n")
    before = source_hash("moco.methods.text.n")
    (package / "methods/text/plain.py").write_text("x = 2\n")
    assert source_hash("moco.methods.text.n") != before


def test_a_helper_in_the_package_of_a_plug_in_counts(tmp_path, monkeypatch):
    folder = tmp_path / "plugin_of_two"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "method.py").write_text("from plugin_of_two.wording import ask\nimport json\n")
    (folder / "wording.py").write_text("ask = 'How?'\n")
    monkeypatch.syspath_prepend(tmp_path)
    sources._file_of.cache_clear()
    before = source_hash("plugin_of_two.method")
    (folder / "wording.py").write_text("ask = 'Why?'\n")
    assert source_hash("plugin_of_two.method") != before
