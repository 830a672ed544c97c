"""The card of a run's model on the page."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup

from actors.storage.object_store import Storage
from uniaudio2.checkpoint.folders import bundled_models, model_folder
from uniaudio2.shown import shown

_CARD_CHARACTERS = 60_000
_MOST_CARD_BYTES = 1 << 20


def model_card(model: str) -> Markup:
    """The model's README as HTML: what is HTML in it is shown as text, and no picture is fetched.

    Args:
        model: as the job names it; where its folder is out of reach, or the README a link, a line
            says so.
    """
    try:
        data = Storage(str(model_folder(model))).read("README.md", _MOST_CARD_BYTES)
    except (OSError, ValueError) as fault:
        return Markup("<p>{}</p>").format(f"The model card cannot be read: {shown(fault)}")
    text = data.decode(errors="replace")
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link"])
    return Markup(markdown.render(text[:_CARD_CHARACTERS]))  # noqa: S704 - escaped by the parser


def card_of(model: str, own: bool) -> Markup:
    """The card of a model that a run names; another's run may name any folder."""
    if own or model in bundled_models():
        return model_card(model)
    return Markup("<p>The card is left out: the run was made by another user or machine.</p>")
