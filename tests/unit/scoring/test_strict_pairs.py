"""Short answers by family: right ones in many spellings, and others that are wrong by a little."""

from itertools import cycle

import pytest

from moco.scoring.catalogue import scorer_for
from moco.tasks.item import Question, Reference
from moco.tasks.sources.gold import open_gold

STRICT = scorer_for("exact_match", "strict")
LEAST_RIGHT = 0.97
FORMS = (
    r"\boxed{%s}",
    "%s",
    r"We get $\boxed{%s}$.",
    "The answer is %s",
    "Some steps.\n#### %s",
    "<answer>%s</answer>",
)

WESTERN, ARABIC, PERSIAN, DEVANAGARI, BENGALI, WIDE = (
    str.maketrans("0123456789", digits)
    for digits in ("0123456789", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "০১২৩৪৫৬৭৮৯", "０１２３４５６７８９")
)


def grouped(number, mark):
    return f"{number:,}".replace(",", mark)


def indian(number):
    head, tail = divmod(number, 1000)
    groups = []
    while head > 99:
        head, group = divmod(head, 100)
        groups.append(f"{group:02}")
    return ",".join([str(head), *reversed(groups), f"{tail:03}"])


def in_base(number, base):
    digits = ""
    while number:
        number, digit = divmod(number, base)
        digits = str(digit) + digits
    return digits


def integer_spellings(number):
    return [
        str(number),
        grouped(number, ","),
        grouped(number, "'"),
        grouped(number, "’"),
        grouped(number, "\u202f"),
        grouped(number, "{,}"),
        grouped(number, r"\,"),
        indian(number),
        indian(number).translate(DEVANAGARI),
        str(number).translate(ARABIC),
        grouped(number, "٬").translate(PERSIAN),
        str(number).translate(BENGALI),
        str(number).translate(WIDE),
        f"{number}.0",
        f"\u200f{number}\u200f",
    ]


def integers():
    """Digit groups and digits of many places; one more or less is another integer."""
    for number in (2000001, 1234567, 70_650_000):
        yield str(number), integer_spellings(number)[::2], integer_spellings(number + 1)[::2]
        yield f"{number:,}", integer_spellings(number)[1::2], integer_spellings(number - 1)[1::2]


def decimals():
    """Decimal marks, trailing zeros, tiny and huge numbers."""
    yield (
        "3.5",
        ["3,5", "3.50", "۳٫۵", "３．５", r"\frac{7}{2}", "7/2", "3½", "3{,}5"],
        ["3,6", "3.05", "35", "۳٫۶", "-3,5", "5/2"],
    )
    yield (
        "0.125",
        ["0,125", ".125", "1/8", "0.1250", r"125 \times 10^{-3}", "1.25e-1"],
        ["0,126", "125", "0.0125", "1.25", "1/9"],
    )
    yield (
        "1234.56",
        ["1.234,56", "1,234.56", "1'234.56", "1 234,56", "1234,56"],
        ["1.234,57", "123456", "1234.5", "12.3456"],
    )
    yield (
        r"\frac{1}{2^{80}}",
        ["2^{-80}", r"1/2^{80}", r"\left(\frac{1}{2}\right)^{80}", "4^{-40}"],
        ["2^{-79}", "2^{80}", "0", "2^{-81}"],
    )
    yield (
        "3.2e-19",
        [r"3.2 \times 10^{-19}", "3.2·10⁻¹⁹", r"3.2\cdot10^{-19}", "32e-20"],
        [r"3.2 \times 10^{-18}", "3.2e19", "0", "3.3e-19"],
    )
    yield r"10^{-30}", ["1e-30", "0.1^{30}", r"\frac{1}{10^{30}}"], ["1e-31", "0", r"\frac{1}{10^{29}}"]

    yield "0.3", ["0.30000000000000004", "3/10", "0,3"], ["0.3000001", "0.33", "0.03"]
    yield "1.5", ["1½", "1,5", "3/2", "1.50"], ["15", "1.05", "1½½", "2.5"]


def fractions():
    """Fractions, mixed numbers, percent."""
    for top, bottom in ((3, 4), (7, 12), (22, 7)):
        yield (
            rf"\frac{{{top}}}{{{bottom}}}",
            [
                f"{top}/{bottom}",
                rf"\dfrac{{{2 * top}}}{{{2 * bottom}}}",
                rf"{top}\cdot\frac{{1}}{{{bottom}}}",
                f"{3 * top}/{3 * bottom}",
            ],
            [
                f"{bottom}/{top}",
                f"{top}/{bottom + 1}",
                rf"-\frac{{{top}}}{{{bottom}}}",
                rf"\frac{{{top + 1}}}{{{bottom}}}",
            ],
        )
    yield "3/4", ["0.75", "¾", "6/8", r"\tfrac34", "0,75"], ["0.7", "34", "4/3", "3/5"]
    yield "2.25", [r"2\frac{1}{4}", "2 1/4", "9/4", "2¼"], [r"2\frac{1}{3}", "21/4", "2 3/4", "4/9"]
    yield "5%", ["5 percent", "5 %", r"5\%", "5 per cent", "5"], ["50%", "5‰", "-5%", "0.5%"]


def bases():
    """A base belongs to the number."""
    for number, base, other in ((1358, 8, 7), (57, 6, 9), (1025, 5, 8)):
        digits = in_base(number, base)
        yield (
            f"{digits}_{base}",
            [
                f"{digits}_{{{base}}}",
                f"{digits} base {base}",
                f"{digits} (base {base})",
                rf"{digits}_{{\text{{{base}}}}}",
            ],
            [
                f"{digits}_{other}",
                f"{digits}_{{{other}}}",
                f"{digits} base {other}",
                f"{in_base(number + 1, base)}_{base}",
            ],
        )
        yield f"{number}", [f"{number}", f"{number}_{{10}}"], [f"{number}_{{12}}", f"{digits}", f"{number} (base 16)"]

    yield "2516_8", ["2516₈", "2516_8", "1358"], ["2516₇", "2516", "25168", "2517_8"]
    yield "12", ["1100_2", "0b1100", "0xC"], ["1100", "1100_3", "12_8", "0xD"]


def beside():
    """What stands beside a number changes it or cannot be read; the number alone never counts."""
    yield (
        "5",
        ["+5", "5.", "exactly 5", "x = 5"],
        ["negative 5", "minus 5", "5 lakh", "5 tenths", "5 dozen", "5 crore", "5 million"],
    )
    yield "-5", ["negative 5", "minus 5", "−5", "\u200e-5", "-5.0"], ["5", "negative 6", "positive 5", "- 6"]
    yield "3", ["3", "3.0", "6/2"], ["3i", "3π", r"3\pi", "3x", "3!", "3²", "3^3", "3 squared", r"3\sqrt{2}", "30"]
    yield (
        "7",
        ["7", "+7", "14/2"],
        ["7!", "7th", "7e", "7 factorial", "7^7", r"\pm 7", "7 + 1", ">7", "at least 7", "7 or 8", "7i"],
    )
    yield "500000", ["5 lakh", "500 thousand", "0.5 million", "5,00,000"], ["5 crore", "5 million", "5 thousand", "5"]
    yield "0.5", ["5 tenths", "1/2", "50 hundredths"], ["5 hundredths", "5", "5 thousandths"]
    yield "60", ["5 dozen", "60"], ["6 dozen", "5 score", "60 dozen"]
    yield "30000000", ["3 crore", "30 million", "3,00,00,000"], ["3 lakh", "3 million", "30 billion", "3 crore 1"]

    yield "5000000", ["5 millones", "5 Millionen", "5 миллионов", "5 مليون", "50 लाख"], ["5 mil", "5 लाख", "5", "5억"]
    yield (
        "12",
        ["12.", "(12)", "{12}", "|-12|", "So it is 12."],
        ["12!", "It is twice 12.", "12 and a half", "not 12", "12 5"],
    )
    yield "0.25", ["25%", "1/4", "25 hundredths"], ["25", "2.5%", "25‰"]


def units():
    """Units may be missing on one side; two that differ do not agree."""
    yield (
        "5 cm",
        ["5", "5 cm", "5 centimeters", r"5\text{ cm}", "5cm", "5.0 cm"],
        ["5 km", "5 mm", "5 inches", "5 cm^2", "6 cm", "5 kg"],
    )
    yield "$18", ["18", "18 dollars", r"\$18", "$18.00", "18 USD"], ["18 cents", "€18", "£18", "$18.01", "18 euros"]
    yield "12 hours", ["12", "12 h", "12 hrs", "12 hours"], ["12 minutes", "12 days", "12 seconds", "13 hours"]
    yield (
        r"20\text{ square inches}",
        ["20", "20 square inches", r"20\text{ in}^2", "20 in^2"],
        ["20 inches", "20 cubic inches", "20 square feet", "21 square inches"],
    )
    yield (
        "60 km/h",
        ["60", "60 km/h", "60 kilometers per hour", "60 kmph"],
        ["60 m/s", "60 miles per hour", "60 km", "61 km/h"],
    )
    yield r"66^\circ", ["66", "66°", "66 degrees", r"66^{\circ}"], ["66 radians", "67°", r"66\pi", "66 cm"]
    yield "8 apples", ["8", "8 apples"], ["9 apples", "8 oranges", "-8"]

    yield "5 m", ["500 cm", "5 meters", "5 m", "0.005 km"], ["50 cm", "5 m^2", "5 miles", "500 mm"]
    yield "2 hours", ["120 minutes", "2 hrs", "7200 s"], ["2 minutes", "12 hours", "2 days"]
    yield r"20^\circ C", ["20°C", "20 degrees Celsius", "20"], ["20°F", "20 K", "-20°C"]
    yield (
        r"36\pi\text{ cm}^2",
        [r"36\pi", "36π", r"36\pi\ \text{cm}^2"],
        [r"36\pi\text{ cm}", "36", r"6\pi\text{ cm}^2"],
    )


def values():
    """Numbers that a formula stands for."""
    for base, power in ((2, 10), (3, 7), (7, 4)):
        yield (
            str(base**power),
            [
                f"{base}^{{{power}}}",
                f"{base}^{power}",
                rf"{base}^{{{power - 1}}}\cdot {base}",
                rf"\sqrt{{{base ** (2 * power)}}}",
            ],
            [
                f"{base}^{{{power + 1}}}",
                f"{base + 1}^{power}",
                rf"{base}\cdot {power}",
                rf"-\sqrt{{{base ** (2 * power)}}}",
            ],
        )
    yield (
        "8",
        [r"\sqrt{64}", "√64", r"\sqrt[3]{512}", r"2\cdot 4", "2^3", "64^{1/2}"],
        [r"\sqrt{65}", "√63", r"\sqrt[3]{64}", r"2\cdot 3", "3^2"],
    )
    yield (
        "120",
        ["5!", r"\frac{6!}{3!}", r"\binom{10}{3}", r"2^3\cdot 15"],
        ["6!", r"\binom{10}{4}", r"\frac{6!}{4!}", "5!!"],
    )
    yield "-27", ["(-3)^3", "-3^3", r"-\sqrt{729}"], ["(-3)^2", "3^3", r"\sqrt{729}"]
    yield "0.01", ["10^{-2}", r"\frac{1}{10^2}", "1/100"], ["10^{2}", "10^{-3}", r"\frac{1}{10}"]
    yield (
        r"3\sqrt{2}",
        [r"\sqrt{18}", r"\sqrt{2}\cdot 3", r"\frac{6}{\sqrt{2}}"],
        [r"2\sqrt{3}", r"\sqrt{12}", "3", r"3\sqrt{3}"],
    )

    yield (
        "3",
        ["∛27", "√9", r"\log_2 8", "10-7", r"\lfloor 3.7\rfloor", "x = 2+1 = 3"],
        ["∛9", "-√9", r"\log_8 2", "x>3", "4^{-1}"],
    )
    yield r"\sqrt{2}", ["2^{1/2}", "1.41421356", r"\frac{2}{\sqrt{2}}"], ["1.41421", "2^{-1/2}", r"-\sqrt{2}", "2"]
    yield "2^{1000}-1", ["2^{1000}-1", "4^{500}-1"], ["2^{1000}", "2^{1000}-2", "2^{1000}+1"]


def brackets():
    """Intervals, sets, tuples and lists are different things."""
    yield (
        "[0,1]",
        ["[0,1]", "[0, 1]", r"\left[0,1\right]", "[0.0, 1]"],
        ["(0,1)", "[0,1)", "(0,1]", r"\{0,1\}", "[1,0]", "[0,2]"],
    )
    yield (
        "(2,3)",
        ["(2,3)", r"\left(2, 3\right)", r"(2,\ 3)", "(4/2, 3)"],
        ["2,3", "[2,3]", r"\{2,3\}", "(3,2)", "(2,3]", "(2,3,4)"],
    )
    yield (
        r"\{1,2,3\}",
        [r"\{3,2,1\}", r"\{1, 2, 3\}", r"\left\{1,2,3\right\}"],
        ["(1,2,3)", "[1,2,3]", r"\{1,2\}", r"\{1,2,4\}"],
    )
    yield (
        r"(-\infty,3]",
        [r"(-\infty, 3]", r"\left(-\infty,3\right]", r"x \in (-\infty,3]"],
        [r"(-\infty,3)", r"[-\infty,4]", r"(3,\infty)", r"(\infty,3]"],
    )
    yield (
        r"(-\infty,-1)\cup(1,\infty)",
        [r"(1,\infty)\cup(-\infty,-1)", r"(-\infty, -1) \cup (1, \infty)"],
        [r"(-\infty,-1]\cup(1,\infty)", r"(-\infty,-1)\cap(1,\infty)", r"(-1,1)"],
    )
    yield "1,-2", ["1,-2", "-2, 1", "1, -2"], ["(1,-2)", "[1,-2]", "1,2", "1"]
    yield "[1, 6, 7]", ["[1,6,7]", "1, 6, 7", "[1.0, 6, 7]"], ["[1,7,6]", "(1,6,7)", "[1,6]", r"\{1,6,7\}"]
    yield (
        r"\left( -3, \frac{1}{14} \right)",
        ["(-3, 1/14)", r"(-3,\frac{2}{28})"],
        ["(-3, 1/15)", "(3, 1/14)", "[-3, 1/14]"],
    )

    yield "(0,1)", ["0<x<1", "]0,1[", r"x\in(0,1)"], [r"0\leq x<1", "[0,1[", "0,1", "(2,1)"]
    yield r"[2,\infty)", [r"x\ge 2", r"2\le x", r"[2, \infty)"], ["x>2", r"x\le 2", r"(2,\infty)"]
    yield "2,-2", [r"\pm 2", "-2 and 2", "x=2 or x=-2", r"\{2,-2\}"], ["2", "(2,-2)", "2,2", "2,-2,0"]


def formulas():
    """Matrices and formulas with letters."""
    yield (
        r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
        [
            r"\begin{pmatrix}1\\2\end{pmatrix}",
            r"\begin{bmatrix} 1 \\ 2 \end{bmatrix}",
            r"\begin{pmatrix} 1 \\ 4/2 \end{pmatrix}",
        ],
        [
            r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}",
            r"\begin{pmatrix} 1 & 2 \end{pmatrix}",
            r"\begin{pmatrix}1\\3\end{pmatrix}",
            "1,2",
        ],
    )
    yield (
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        [r"\begin{bmatrix}1&2\\3&4\end{bmatrix}", r"\begin{pmatrix} 1 & 2 \\ 3 & 2^2 \end{pmatrix}"],
        [
            r"\begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}",
            r"\begin{pmatrix} 1 & 2 \\ 3 & 5 \end{pmatrix}",
            r"\begin{pmatrix} 1 & 2 & 3 & 4 \end{pmatrix}",
        ],
    )
    yield (
        "x^2 + 12x + 35",
        ["(x+5)(x+7)", "35+12x+x^2", r"x^{2}+12 x+35"],
        ["x^2 - 12x + 35", "x^2 + 12x + 36", "(x+5)(x+8)", "x^3 + 12x + 35"],
    )
    yield (
        r"\frac{\sqrt{3}}{2}",
        [r"\dfrac{\sqrt3}{2}", r"\sqrt{\frac34}", r"\frac{3}{2\sqrt{3}}", "√3/2"],
        [r"\frac{\sqrt{2}}{2}", r"\frac{\sqrt{3}}{3}", r"\sqrt{3}", r"-\frac{\sqrt3}{2}"],
    )
    yield (
        r"\frac{\pi}{6}",
        ["π/6", r"\pi/6", r"\frac{1}{6}\pi", r"\frac{2\pi}{12}"],
        [r"\frac{\pi}{3}", "1/6", r"\frac{6}{\pi}", r"-\frac{\pi}{6}"],
    )
    yield "3 + 4i", ["4i + 3", "3+4i", r"3 + 4 \cdot i"], ["3 - 4i", "4 + 3i", "7", "3 + 4j^2"]
    yield r"y = 2x + 3", ["y = 2x+3", "y=3+2x", "2x + 3"], ["y = 2x - 3", "y = 3x + 2", "y = 2x"]
    yield r"\sin x", [r"\sin{x}", r"\sin(x)"], [r"\cos x", r"\sin 2x", r"-\sin x"]

    yield r"\frac{1}{2x}", ["1/(2x)", r"\frac{1}{2}\cdot\frac1x"], [r"\frac{1}{2}x", r"\frac{2}{x}", r"\frac{1}{2x^2}"]
    yield "x>3", ["3<x", r"(3,\infty)", "x > 3"], ["x<3", r"x\ge 3", "x>-3", "3"]
    yield "2x+3y=6", ["3y+2x=6", "4x+6y=12", "6=2x+3y"], ["2x-3y=6", "2x+3y=5", "2x+3y"]
    yield "34x", [r"34\cdot x", "34 x"], ["3 4x", "34", "43x", "34x^2"]


def words():
    """Words with marks that belong to them, and marks that nobody sees."""
    yield "C++", ["C++", "`C++`", "c++"], ["C#", "C", "C--"]
    yield "C#", ["C#", "**C#**"], ["C++", "C", "F#"]
    yield "A+", ["A+", "**A+**"], ["A-", "B+", "A"]
    yield (
        "Madagascar",
        ["Mada\u00adgascar", "madagascar", "\u200bMadagascar", "Madagascar\u2060", "**Madagascar**"],
        ["Malaysia", "Madagaskar", "Not Madagascar"],
    )
    yield (
        "New York",
        ["New\u00a0York", "new york", "New York.", "\u202aNew York\u202c"],
        ["York", "New Jersey", "New York 2"],
    )
    yield "version 1.5", ["Version 1.5", "“version 1.5”"], ["version 15", "version 1.6", "version 5.1"]
    yield "5 June 1944", ["5 June 1944", "5 june 1944."], ["6 June 1944", "5 June 1945", "5 July 1944"]
    yield "Germany 2-1", ["Germany 2-1", "germany 2–1"], ["Germany 21", "Germany 1-2", "Brazil 2-1"]
    yield ["Paris", "City of Paris"], ["Paris", "City of Paris", "paris"], ["Lyon", "Paris, City of Paris", "City"]
    yield ["3/4", "three quarters"], ["0.75", "three quarters", "Three quarters"], ["4/3", "three", "3"]

    yield "AB+", ["AB+", "ab+"], ["AB-", "A+", "AB"]
    yield "Zürich", ["Zu\u0308rich", "zürich", "Z\u00adürich"], ["Zurich 2", "Bern", "Züriche"]
    yield ["U.S.", "United States"], ["US", "the United States", "U.S."], ["United Kingdom", "USSR", "States"]


def continued():
    """A base model goes on with questions of its own after its answer."""
    for gold, other in (("15", "4"), ("7", "8"), ("-3", "3"), ("Paris", "Rome")):
        tails = (
            "\n\nQ: {0}?\nA: The answer is {1}.",
            "\n\nQuestion: What is {0}?\nAnswer: {1}",
            "\n\nProblem 2: {0}?\nThe answer is {1}.",
            "\n\nHuman: and now?\nAssistant: The answer is {1}.",
        )
        rest = [tail.format("2+2", other) for tail in tails]
        swapped = [tail.format("2+2", gold) for tail in tails]
        yield (
            gold,
            [f"The answer is {gold}.{end}" for end in rest] + [f"{gold}{end}" for end in rest[:2]],
            [f"The answer is {other}.{end}" for end in swapped] + [f"{other}{end}" for end in swapped[:2]],
        )


FAMILIES = (integers, decimals, fractions, bases, beside, units, values, brackets, formulas, words, continued)
WHOLE_REPLIES = (continued,)


def score(gold, reply):
    read = open_gold("exact_match", gold, "here", question="What?")
    question = Question("u", "t", "test", "exact_match", "What?", "")
    return STRICT.score(question, Reference("u", read.value, read.kind, valid=read.valid), reply).score


def pairs(family):
    """Return (gold, reply, right), the replies in changing forms."""
    forms = cycle(("%s",) if family in WHOLE_REPLIES else FORMS)
    made = []
    for gold, right, wrong in family():
        made += [(gold, next(forms) % answer, True) for answer in right]
        made += [(gold, next(forms) % answer, False) for answer in wrong]
    return made


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_families(family):
    scored = [(gold, reply, right, score(gold, reply)) for gold, reply, right in pairs(family)]
    assert [each for each in scored if not each[2] and each[3] > 0] == []
    missed = [each for each in scored if each[2] and each[3] != 1]
    assert len(missed) <= (1 - LEAST_RIGHT) * sum(each[2] for each in scored), missed


def test_there_are_enough_pairs_and_half_of_them_are_wrong():
    right = [each[2] for family in FAMILIES for each in pairs(family)]
    assert len(right) >= 300
    assert len(FAMILIES) >= 10
    assert abs(sum(right) / len(right) - 0.5) < 0.1
