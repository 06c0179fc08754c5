r"""Reads LaTeX, as models write it, into a line of text that a person can read in a terminal: `\frac{1}{2}` is 1/2.

It must not change what is said: where one line can't carry the form, brackets do, and what isn't known stays as it was.
`pylatexenc` was tried, and reads (a+b)/2 as a+b/2. Time is linear, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["BLOCKS", "read_mathematics"]

BLOCKS: Final[Mapping[str, str]] = {r"\[": r"\]", "$$": "$$"}
"""What begins a formula that may go over several lines, and what ends it."""
_LONGEST: Final = 8_000
"""Letters of a line in which formulas are looked for, since each that isn't closed is looked for up to its end."""
_DEEPEST: Final = 30

# Each as Unicode has it, and as ASCII has to say it.
_SYMBOLS: Final[Mapping[str, tuple[str, str]]] = {
    "times": ("×", "*"), "cdot": ("·", "*"), "div": ("÷", "/"), "pm": ("±", "+-"), "mp": ("∓", "-+"), "ast": ("*", "*"),
    "le": ("≤", "<="), "leq": ("≤", "<="), "ge": ("≥", ">="), "geq": ("≥", ">="), "ne": ("≠", "!="), "neq": ("≠", "!="),
    "approx": ("≈", "~="), "equiv": ("≡", "=="), "sim": ("∼", "~"), "cong": ("≅", "~="), "propto": ("∝", "prop. to"),
    "lt": ("<", "<"), "gt": (">", ">"), "ll": ("≪", "<<"), "gg": ("≫", ">>"), "mid": ("|", "|"), "nmid": ("∤", "!|"),
    "to": ("→", "->"), "rightarrow": ("→", "->"), "leftarrow": ("←", "<-"), "Rightarrow": ("⇒", "=>"),
    "implies": ("⇒", "=>"), "iff": ("⇔", "<=>"), "Leftrightarrow": ("⇔", "<=>"), "mapsto": ("↦", "|->"),
    "in": ("∈", "in"), "notin": ("∉", "not in"), "subset": ("⊂", "subset"), "subseteq": ("⊆", "subset="),
    "cup": ("∪", "union"), "cap": ("∩", "intersect"), "emptyset": ("∅", "{}"), "setminus": ("∖", "\\"),
    "forall": ("∀", "for all"), "exists": ("∃", "exists"), "neg": ("¬", "not"), "land": ("∧", "and"),
    "lor": ("∨", "or"), "wedge": ("∧", "and"), "vee": ("∨", "or"), "therefore": ("∴", "so"), "because": ("∵", "since"),
    "infty": ("∞", "inf"), "partial": ("∂", "d"), "nabla": ("∇", "nabla"), "sum": ("∑", "sum"), "prod": ("∏", "prod"),
    "int": ("∫", "int"), "circ": ("∘", "o"), "degree": ("°", " deg"), "angle": ("∠", "angle "), "perp": ("⊥", "_|_"),
    "parallel": ("∥", "||"), "triangle": ("△", "triangle "), "prime": ("′", "'"), "dots": ("…", "..."),
    "ldots": ("…", "..."), "cdots": ("⋯", "..."), "vdots": ("⋮", ":"), "star": ("⋆", "*"), "bullet": ("•", "*"),
    "lfloor": ("⌊", "floor("), "rfloor": ("⌋", ")"), "lceil": ("⌈", "ceil("), "rceil": ("⌉", ")"),
    "langle": ("⟨", "<"), "rangle": ("⟩", ">"), "checkmark": ("✓", "ok"),
    "square": ("□", "[]"), "blacksquare": ("■", "[]"),
    "alpha": ("α", "alpha"), "beta": ("β", "beta"), "gamma": ("γ", "gamma"), "delta": ("δ", "delta"),
    "epsilon": ("ε", "epsilon"), "varepsilon": ("ε", "epsilon"), "zeta": ("ζ", "zeta"), "eta": ("η", "eta"),
    "theta": ("θ", "theta"), "iota": ("ι", "iota"), "kappa": ("κ", "kappa"), "lambda": ("λ", "lambda"),
    "mu": ("μ", "mu"),
    "nu": ("ν", "nu"), "xi": ("ξ", "xi"), "pi": ("π", "pi"), "rho": ("ρ", "rho"), "sigma": ("σ", "sigma"),
    "tau": ("τ", "tau"), "phi": ("φ", "phi"), "varphi": ("φ", "phi"), "chi": ("χ", "chi"), "psi": ("ψ", "psi"),
    "omega": ("ω", "omega"), "Gamma": ("Γ", "Gamma"), "Delta": ("Δ", "Delta"), "Theta": ("Θ", "Theta"),
    "Lambda": ("Λ", "Lambda"), "Pi": ("Π", "Pi"), "Sigma": ("Σ", "Sigma"), "Phi": ("Φ", "Phi"), "Psi": ("Ψ", "Psi"),
    "Omega": ("Ω", "Omega"),
}  # fmt: skip
_NAMES: Final = frozenset({
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "ln", "exp",
    "lim", "max", "min", "sup", "inf", "gcd", "lcm", "det", "dim", "deg", "arg", "mod", "ker", "Pr",
})  # fmt: skip
_LETTERS: Final = {"mathbb": {"R": "ℝ", "N": "ℕ", "Z": "ℤ", "Q": "ℚ", "C": "ℂ", "P": "ℙ"}}
# What only says how its argument looks.
_LOOKS: Final = frozenset({
    "text", "textbf", "textit", "textrm", "mathrm", "mathbf", "mathit", "mathsf", "mathbb", "mathcal", "operatorname",
    "mbox", "emph", "bm", "boldsymbol", "displaystyle", "textstyle", "limits", "nolimits", "big", "Big", "bigg", "Bigg",
    "bigl", "bigr", "Bigl", "Bigr", "left", "right",
})  # fmt: skip
_SPACES: Final = {",": " ", ";": " ", ":": " ", " ": " ", "!": "", "quad": "  ", "qquad": "    ", "\\": "; "}
_FRACTIONS: Final = frozenset({"frac", "dfrac", "tfrac", "cfrac"})
_ROOTS: Final = {"": "√", "2": "√", "3": "∛", "4": "∜"}
_RAISED: Final = dict(zip("0123456789+-=()in", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿ", strict=True))
_LOWERED: Final = dict(zip("0123456789+-=()aeijkmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑᵢⱼₖₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
_TOKEN: Final = re.compile(
    r"\\(?P<name>[A-Za-z]+)|\\(?P<sign>.)|(?P<mark>[{}^_&~])|(?P<run>[^\\{}^_&~]+|\\)", re.DOTALL
)
# A formula in its signs; code, which stays; a box or a fraction that stands in the text as it is.
_PIECE: Final = re.compile(
    r"(?P<code>`[^`\n]{0,1000}`)|\\\((?P<round>.{0,1000}?)\\\)|\\\[(?P<square>.{0,1000}?)\\\]|\$\$(?P<double>.{1,1000}?)\$\$"
    r"|(?<![\w\\$])\$(?P<single>[^\s$](?:[^$\n]{0,1000}[^\s$\\])?)\$(?![\d$])"
    r"|(?P<bare>(?<![A-Za-z_\\:])\\(?:[a-zA-Z]+)(?![a-zA-Z]))",
    re.DOTALL,
)
_SIMPLE: Final = re.compile(r"[^\W_]+(?:\.\d+)?|[√∛∜][^\W_]+|\([^()]*\)")
_SINGLE: Final = re.compile(r"\d+(?:\.\d+)?|[^\W_]|\([^()]*\)")
"""What may stand below the line of a fraction without brackets."""
_MATRICES: Final = {"pmatrix": "()", "bmatrix": "[]", "vmatrix": "||", "matrix": "[]", "cases": "{ "}


class _UnreadableError(Exception):
    """It is no formula that can be read: a part is missing, or it goes too deep."""


def read_mathematics(text: str, *, is_ascii: bool = False) -> str:
    """`text` with its formulas as a person reads them; with `is_ascii` in the signs of ASCII alone.

    Formulas stand in `\\(…\\)`, `\\[…\\]`, `$…$` or `$$…$$`; commands such as `\\boxed{}` also without. One that
    can't be read stays as it is.
    """
    if ("\\" not in text and "$" not in text) or len(text) > _LONGEST:
        return text
    read: list[str] = []
    place = 0
    while piece := _PIECE.search(text, place):
        read.append(text[place : piece.start()])
        if piece["bare"] is None:
            place = piece.end()
            read.append(_formula(piece, is_ascii=is_ascii))
            continue
        reader = _Reader(text, piece.start(), is_ascii=is_ascii, is_formula=False)
        try:
            read.append(reader.bare_command())
            place = reader.place
        except _UnreadableError:
            place = piece.end()
            read.append(piece[0])
    return "".join([*read, text[place:]])


def _formula(piece: re.Match[str], *, is_ascii: bool) -> str:
    inside = next(
        (group for group in piece.group("round", "square", "double", "single") if group is not None), None
    )
    if inside is None:
        return piece[0]
    try:
        read = _Reader(inside, 0, is_ascii=is_ascii).rest()
    except _UnreadableError:
        return piece[0]
    return re.sub(r"[ \t\n]+", " ", read).strip()


class _Reader:
    """Reads a formula from left to right."""

    def __init__(self, text: str, place: int, *, is_ascii: bool, is_formula: bool = True) -> None:
        self.text = text
        self.place = place
        self._is_ascii = is_ascii
        self._is_formula = is_formula
        self._depth = 0

    def rest(self) -> str:
        """All that is left."""
        read: list[str] = []
        while self.place < len(self.text):
            part = self._next()
            if part is None:
                raise _UnreadableError
            read.append(part)
        return "".join(read)

    def bare_command(self) -> str:
        """A command in a text, with its arguments."""
        token = _TOKEN.match(self.text, self.place)
        name = token["name"] if token else None
        if name not in _SYMBOLS and name not in _FRACTIONS and name not in {"sqrt", "boxed", "fbox"}:
            raise _UnreadableError
        return self._next() or ""

    def _next(self) -> str | None:
        """The next part, read; `None` at the end of a group or of all."""
        token = _TOKEN.match(self.text, self.place)
        if token is None or token["mark"] == "}":
            return None
        start, self.place = self.place, token.end()
        if token["name"] is not None:
            return self._command(token["name"], start)
        if token["sign"] is not None:
            return _SPACES.get(token["sign"], token["sign"])
        if token["mark"] == "{":
            inside = self._group()
            return _bracketed(inside) if self.text.startswith(("^", "_"), self.place) else inside
        if token["mark"] in ("^", "_"):
            return self._script(token["mark"])
        return token["run"] or " "

    def _group(self) -> str:
        """What is in braces, without them, up to the one that closes."""
        read: list[str] = []
        self._deeper()
        while (part := self._next()) is not None:
            read.append(part)
        self._depth -= 1
        if not self.text.startswith("}", self.place):
            raise _UnreadableError
        self.place += 1
        return "".join(read)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _UnreadableError

    def _argument(self) -> str:
        """A command's argument: a group, a command, or one letter or digit."""
        self._blanks()
        token = _TOKEN.match(self.text, self.place)
        if token is None:
            raise _UnreadableError
        if token["run"] is not None:
            self.place += 1
            return self.text[self.place - 1]
        if token["mark"] == "{":
            self.place = token.end()
            return self._group()
        self._deeper()
        read = self._next()
        self._depth -= 1
        if read is None:
            raise _UnreadableError
        return read

    def _blanks(self) -> None:
        while self.text.startswith((" ", "\t"), self.place):
            self.place += 1

    def _command(self, name: str, start: int) -> str:
        read = self._built(name, start)
        if read is not None:
            return read
        if name in _LOOKS:
            return self._looked(name)
        if name in _SYMBOLS:
            return self._symbol(_SYMBOLS[name][self._is_ascii], start)
        if name in _NAMES:
            return self._symbol(name, start)
        if name in _SPACES:
            return _SPACES[name]
        written = self.text[start : self.place]
        while self.text.startswith("{", self.place):
            written += "{" + self._argument() + "}"
        return written

    def _built(self, name: str, start: int) -> str | None:  # noqa: PLR0911 - a list of cases
        """What is built of arguments; `None` for other commands."""
        match name:
            case "frac" | "dfrac" | "tfrac" | "cfrac":
                return self._fraction(start)
            case "sqrt":
                return self._root()
            case "boxed" | "fbox":
                return f"[{self._argument().strip()}]"
            case "binom" | "dbinom":
                return f"C({self._argument()}, {self._argument()})"
            case "pmod":
                return f"(mod {self._argument()})"
            case "bmod":
                return " mod "
            case "overline" | "vec" | "hat" | "bar":
                return f"{name}({self._argument()})"
            case "begin" | "end":
                return f" {_MATRICES.get(self._argument(), '  ')[name == 'end']} "
            case _:
                return None

    def _symbol(self, sign: str, start: int) -> str:
        """A sign; the blank that ends its command goes with it, unless one stands before it too."""
        before = self.text[start - 1] if start else " "
        is_word = len(sign) > 1 and sign[-1].isalnum()
        if is_word and sign[0].isalnum() and (before.isalnum() or before == "}"):
            sign = f" {sign}"
        if self.text.startswith((" ", "\t"), self.place):
            if self._is_formula and not before.isspace() and before != "{" and not is_word:
                self._blanks()
        elif is_word and self.text[self.place : self.place + 1].isalnum():
            sign = f"{sign} "
        return sign

    def _looked(self, name: str) -> str:
        if self.text.startswith("{", self.place) and not name.startswith(("left", "right", "big", "Big")):
            inside = self._argument()
            return inside if self._is_ascii else _LETTERS.get(name, {}).get(inside, inside)
        if name in {"left", "right"} and self.text.startswith(".", self.place):
            self.place += 1
        return ""

    def _is_followed_by_operand(self) -> bool:
        """Whether what follows would be read as one with what stands here."""
        place = self.place
        while self._is_formula and self.text.startswith((" ", "\t"), place):
            place += 1
        token = _TOKEN.match(self.text, place)
        if token is None:
            return False
        if token["name"] is not None:
            sign = _SYMBOLS.get(token["name"], ("a",))[0]
            return sign.isalpha() and token["name"] not in {"right", "quad", "qquad", "end"}
        if token["run"] is not None:
            return token["run"][0].isalnum() or token["run"][0] == "("
        return token["mark"] in {"{", "^"}

    def _fraction(self, start: int) -> str:
        read = f"{_bracketed(self._argument())}/{_bracketed(self._argument(), _SINGLE)}"
        before = self.text[:start].rstrip(" \t")[-1:] if self._is_formula else self.text[start - 1 : start]
        if before.isdigit() and not self._is_followed_by_operand():
            return read if self.text[start - 1].isspace() else f" {read}"  # two and a half
        is_operand = before.isalnum() or before in tuple(")}]/^_|!")
        return f"({read})" if is_operand or self._is_followed_by_operand() else read

    def _root(self) -> str:
        index = ""
        if self.text.startswith("[", self.place):
            end = self.text.find("]", self.place, self.place + 12)
            if end > 0:
                index = self.text[self.place + 1 : end].strip()
                self.place = end + 1
        inside = self._argument().strip()
        index = "" if index == "2" else index
        if self._is_ascii:
            return f"root{index}({inside})" if index else f"sqrt({inside})"
        sign = _ROOTS.get(index)
        if sign is None:
            raised = _in_signs(index, _RAISED)
            if raised is None:
                raise _UnreadableError
            sign = f"{raised}√"
        is_plain = re.fullmatch(r"\d+|[^\W_]|\([^()]*\)", inside) and not self._is_followed_by_operand()
        return sign + (inside if is_plain else f"({inside})")

    def _script(self, mark: str) -> str:
        inside = self._argument().strip()
        if mark == "^" and inside in {"∘", "o", "°"}:
            return "°" if not self._is_ascii else " deg"
        if mark == "^" and inside in {"′", "'"}:
            return "′" if not self._is_ascii else "'"
        signs = None if self._is_ascii else _in_signs(inside, _RAISED if mark == "^" else _LOWERED)
        if signs is not None:
            return signs
        is_plain = re.fullmatch(r"[^\W_]+|\d+\.\d+", inside) is not None
        return mark + (inside if is_plain and not self._is_followed_by_operand() else f"({inside})")


def _in_signs(inside: str, signs: Mapping[str, str]) -> str | None:
    """All of it in raised or lowered signs, where there are such."""
    found = [signs.get(letter) for letter in inside]
    return "".join(filter(None, found)) if inside and all(found) else None


def _bracketed(inside: str, simple: re.Pattern[str] = _SIMPLE) -> str:
    inside = inside.strip()
    return inside if simple.fullmatch(inside) else f"({inside})"
