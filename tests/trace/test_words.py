"""Both languages of every sentence: none forgotten, none with other facts than its twin."""

import importlib
import pkgutil
import re
import string

import pytest

import synfin
from synfin.words import Text, pick_language

CHINESE = re.compile(r"[\u4e00-\u9fff\uff00-\uffef\u3001-\u3011]")
# What Chinese texts leave as it is: names of states, calls, flags and units.
SAME_IN_BOTH = {"2MSL", "FIN-WAIT-2", ": CLOSED", "# TIME-WAIT", "! {reason}"}


def every_text() -> dict[str, Text]:
    """Every Text that lies at the top of a module of synfin, in a container there or not, by where it was found."""
    found: dict[str, Text] = {}

    def look(value: object, name: str, depth: int = 0) -> None:
        if isinstance(value, Text):
            found[name] = value
        elif depth > 6:
            return
        elif isinstance(value, dict):
            for key, inner in value.items():
                look(inner, f"{name}[{key}]", depth + 1)
        elif isinstance(value, tuple | list):
            for index, inner in enumerate(value):
                look(inner, f"{name}[{index}]", depth + 1)
        elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
            for field in value.__dataclass_fields__:
                look(getattr(value, field, None), f"{name}.{field}", depth + 1)

    for module in pkgutil.walk_packages(synfin.__path__, "synfin."):
        if module.name.endswith("__main__"):
            continue
        try:
            loaded = importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            assert not (error.name or "").startswith("synfin"), error  # an extra that is not installed
            continue
        for name, value in vars(loaded).items():
            if not name.startswith("__"):
                look(value, f"{module.name}.{name}")
    return found


TEXTS = every_text()


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_there_are_texts_to_look_at() -> None:
    assert len(TEXTS) > 200


def test_no_text_lacks_a_language() -> None:
    assert [name for name, text in TEXTS.items() if not text.en.strip() or not text.zh.strip()] == []


def test_both_languages_say_the_same_facts() -> None:
    assert [name for name, text in TEXTS.items() if placeholders(text.en) != placeholders(text.zh)] == []


def test_every_chinese_text_is_chinese() -> None:
    plain = [name for name, text in TEXTS.items() if not CHINESE.search(text.zh) and text.zh not in SAME_IN_BOTH]
    assert plain == []


def test_no_english_text_has_chinese_in_it() -> None:
    assert [name for name, text in TEXTS.items() if CHINESE.search(text.en)] == []


def test_a_text_says_its_facts_in_either_language() -> None:
    text = Text("{who} waits {time}", "{who} 等待 {time}")
    assert text.say("en", who="client", time="1 s") == "client waits 1 s"
    assert text.say("zh", who="client", time="1 秒") == "client 等待 1 秒"


def test_a_text_without_its_facts_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Text("{who} waits", "{who} 等待").say("en")


@pytest.mark.parametrize(
    ("option", "environ", "language"),
    [
        (None, {}, "en"),
        (None, {"LANG": "C.UTF-8"}, "en"),
        (None, {"LANG": "zh_CN.UTF-8"}, "zh"),
        (None, {"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN"}, "zh"),
        (None, {"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        (None, {"LANG": "de_DE.UTF-8"}, "en"),
        (None, {"LC_ALL": "", "LANG": "zh_TW"}, "zh"),
        ("zh", {"LANG": "en_US"}, "zh"),
        ("zh-CN", {}, "zh"),
        ("en", {"LANG": "zh_CN"}, "en"),
    ],
)
def test_the_language_is_the_option_then_the_environment(option: str | None, environ: dict[str, str], language: str) -> None:
    assert pick_language(option, environ) == language


def test_a_language_that_there_is_not_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no language 'fr'; there are: en, zh"):
        pick_language("fr", {})
