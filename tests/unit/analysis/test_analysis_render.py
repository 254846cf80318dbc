import csv
import io

import pytest

from moco.analysis.render import Table, cell_text, latex_escape, number_text, to_csv, to_latex, to_markdown
from moco.analysis.statistics import Interval

TABLE = Table(
    "Scores of a|b & c_d",
    ("name", "n", "share", "t_1"),
    (
        ("add_1", 3, 1 / 3, Interval(1 / 3, 0.1, 0.625, 10, 2)),
        ("a|b", 4, 0.0, "failed: 50 % of #1 {x}, 'out of\nmemory'"),
        ("[reward]", 5, -0.5, Interval(-1.5, -2.0, 0.004, 7, 1, percent=False)),
    ),
    ("A note with 95 % and $x^2$.",),
)


def test_csv_has_a_column_per_part_and_full_precision():
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert list(rows[0]) == ["name", "n", "share", *(f"t_1_{p}" for p in ("mean", "low", "high", "n", "seeds", "text"))]
    assert float(rows[0]["t_1_mean"]) == 1 / 3
    assert (rows[0]["t_1_low"], rows[0]["t_1_high"], rows[0]["t_1_n"], rows[0]["t_1_seeds"]) == (
        "0.1",
        "0.625",
        "10",
        "2",
    )
    assert float(rows[0]["share"]) == 1 / 3
    assert rows[0]["t_1_text"] == rows[1]["t_1_mean"] == ""
    assert rows[1]["t_1_text"] == "failed: 50 % of #1 {x}, 'out of\nmemory'"
    assert (rows[2]["name"], rows[2]["t_1_mean"]) == ("[reward]", "-1.5")


def test_a_share_is_a_fraction_in_csv_and_named_so():
    table = Table("", ("kept (%)", "items"), ((0.25, 3),))
    assert to_csv(table) == "kept,items\n0.25,3\n"
    assert "| kept (%) | items |\n| ---: | ---: |\n| 25.0 | 3 |" in to_markdown(table)


def test_markdown():
    assert to_markdown(TABLE) == (
        "**Scores of a\\|b & c_d**\n"
        "\n"
        "| name | n | share | t_1 |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| add_1 | 3 | 33.3 | 33.3 [10.0, 62.5] n=10 |\n"
        "| a\\|b | 4 | 0.0 | failed: 50 % of #1 {x}, 'out of memory' |\n"
        "| [reward] | 5 | -50.0 | -1.50 [-2.00, 0.00] n=7 |\n"
        "\n"
        "- A note with 95 % and $x^2$.\n"
    )


def test_latex():
    text = to_latex(TABLE)
    assert r"\caption{Scores of a\textbar{}b \& c\_d}" in text
    assert r"add\_1 & 3 & 33.3 & 33.3 {\footnotesize {[}10.0, 62.5{]} $n$=10} \\" in text
    assert r"a\textbar{}b & 4 & 0.0 & failed: 50 \% of \#1 \{x\}, 'out of memory' \\" in text
    assert r"{[}reward{]} & 5 & $-$50.0 & $-$1.50 {\footnotesize {[}$-$2.00, 0.00{]} $n$=7} \\" in text
    assert r"A note with 95 \% and \$x\textasciicircum{}2\$.\par" in text
    assert text.count("{") - 2 * text.count(r"\{") == text.count("}") - 2 * text.count(r"\}")


@pytest.mark.parametrize("character", list("&%$#_{}"))
def test_latex_specials_are_escaped_once(character):
    assert latex_escape(f"a{character}b") == f"a\\{character}b"


def test_latex_of_backslash_braces_and_dashes():
    assert latex_escape("\\{~^") == r"\textbackslash{}\{\textasciitilde{}\textasciicircum{}"
    assert latex_escape("pool--task") == "pool-{}-task"


def test_latex_separates_groups_of_the_first_column_only_if_it_repeats():
    rows = (("a", 1), ("a", 2), ("b", 3))
    assert to_latex(Table("t", ("x", "y"), rows)).count(r"\addlinespace") == 1
    assert r"\addlinespace" not in to_latex(Table("t", ("x", "y"), rows[1:]))


def test_number_formats():
    assert (number_text(0.12349), number_text(1.0), number_text(-0.0001)) == ("12.3", "100.0", "0.0")
    assert number_text(12.345678, percent=False) == "12.35"
    assert (cell_text(7), cell_text(12345)) == ("7", "12,345")


def test_rows_must_fit_the_columns():
    with pytest.raises(ValueError, match="does not fit"):
        Table("t", ("a", "b"), (("x",),))
