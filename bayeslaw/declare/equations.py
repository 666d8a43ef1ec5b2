"""The equations of laws in letters that every terminal has, and the symbols of coefficients as equations write them."""

import re

__all__ = ["plain_equation", "symbol"]

PIECE = re.compile(r"\\[A-Za-z]+|\\.|\s+|[\w.]|.")
"""A command of LaTeX, blanks, or one character."""

DROPPED = (r"\left", r"\right", r"\mathrm")
NAMES = {r"\varepsilon": "eps", r"\ell": "loss", r"\,": " ", r"\ ": " ", r"\quad": "  "}
"""Commands that are written otherwise than by their name."""

GREEK = (
    *(
        "alpha",
        "beta",
        "gamma",
        "delta",
        "eps",
        "eta",
        "kappa",
        "lambda",
        "mu",
        "omega",
        "rho",
        "sigma",
        "tau",
        "theta",
    ),
)
"""Coefficients that are Greek letters, as the laws name them."""

SIMPLE = re.compile(r"-?[\w.*']+")
"""What needs no brackets as an exponent or below a line."""


def plain_equation(latex: str) -> str:
    r"""Return an equation without LaTeX: ``A\,(N/N_0)^{-\alpha}`` is ``A (N/N0)^-alpha``."""
    found = _Reader(PIECE.findall(latex)).read()
    found = re.sub(r"(?<=[\w)\]*']) *([+-]) *(?=[\w(\[])", r" \1 ", found)
    found = re.sub(r"(?<!,) {2,}", " ", re.sub(r" +,", ",", found))
    return re.sub(r"([(\[]) +| +([)\]])", r"\1\2", found).strip()


class _Reader:
    """The pieces of an equation, read from left to right."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces, self.at = pieces, 0

    def read(self, end: str = "") -> str:
        """Return what stands before the closing bracket `end`, or the rest."""
        text = ""
        while self.at < len(self.pieces) and self.pieces[self.at] != end:
            text += self._next(text)
        self.at += 1
        return text

    def _next(self, before: str) -> str:
        piece = self.pieces[self.at]
        self.at += 1
        if piece in DROPPED:
            return ""
        if piece == r"\frac":
            above, below = self._argument(), self._argument()
            return f"{_bracketed(above)}/{_bracketed(below)}"
        if piece == "{":
            return self.read("}")
        if piece == "^":
            power = self._argument()
            return power if power == "*" else f"^{_bracketed(power)}"
        if piece == "_":
            index = self._argument()
            return index if index.isdigit() else f"_{_bracketed(index)}"
        if piece.isspace():
            return " "
        if piece.startswith("\\"):
            word = NAMES.get(piece, piece[1:])
            return f" {word}" if before[-1:].isalnum() and word.strip() else word
        return piece

    def _argument(self) -> str:
        while self.pieces[self.at].isspace():
            self.at += 1
        return self._next("")


def _bracketed(text: str) -> str:
    text = text.strip()
    return text if SIMPLE.fullmatch(text) else f"({text})"


def symbol(name: str) -> str:
    r"""Return the symbol of a coefficient or covariate in LaTeX: ``alpha`` is ``\alpha``, ``L_ref`` is ``L_{ref}``."""
    first, _, index = name.partition("_")
    if number := re.fullmatch(r"([A-Za-z]+?)(\d+)(\w*)", first):
        first, index = number[1], number[2] + number[3] + index
    letter = {"eps": r"\varepsilon", "share": "r"}.get(first, f"\\{first}" if first in GREEK else first)
    letter = letter if len(letter) == 1 or letter.startswith("\\") else rf"\mathrm{{{letter}}}"
    return f"{letter}_{{{index}}}" if index else letter
