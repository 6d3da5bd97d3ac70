"""Words for people, in English and Simplified Chinese: Text, and which of the two is wanted.

Owns no sentence: each lies beside the code that says it, always as a Text, so that neither language can be forgotten.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

LANGUAGES: Final = ("en", "zh")


class Text(NamedTuple):
    """One sentence or label in both languages, with the same `{placeholders}` in each."""

    en: str
    zh: str

    def say(self, lang: str, **facts: object) -> str:
        """The text in `lang` ("en" or "zh") with its placeholders filled; raises KeyError for a fact that is missing."""
        text = self.zh if lang == "zh" else self.en
        return text.format_map(facts) if "{" in text or "}" in text else text


def literal(en: str, zh: str) -> Text:
    """Words that are said as they stand, braces too: they come from elsewhere."""
    return Text(*(words.replace("{", "{{").replace("}", "}}") for words in (en, zh)))


def pick_language(option: str | None, environ: Mapping[str, str]) -> str:
    """The language to speak: `option` when given, else what LC_ALL, LC_MESSAGES or LANG ask for (POSIX order), else "en".

    `option` may be any tag or locale (`zh`, `zh-CN`, `zh_CN.UTF-8`, `en`). Raises ValueError for an option that is
    neither English nor Chinese; a locale of the environment that is neither gets English.
    """
    if option:
        asked = _language(option)
        if asked not in LANGUAGES:
            raise ValueError(f"no language {option!r}; there are: {', '.join(LANGUAGES)}")
        return asked
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environ.get(name):
            return "zh" if _language(environ[name]) == "zh" else "en"
    return "en"


def _language(tag: str) -> str:
    return tag.replace("-", "_").split("_")[0].split(".")[0].lower()
