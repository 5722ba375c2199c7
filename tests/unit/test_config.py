"""Settings: which source wins, and that an error says where the wrong value stands."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footpath.config import SETTINGS, Settings, is_loopback, keep_micros, read_settings
from footpath.errors import BadSetting


@given(st.lists(st.none() | st.integers(1, 60_000), min_size=3, max_size=3))
def test_flag_beats_environment_beats_file_beats_default(
    tmp_path_factory: pytest.TempPathFactory, given_: list[int | None]
) -> None:
    """Of the places that give a setting the first of flag, environment and file wins, and else its default stands."""
    flag, variable, line = given_
    file = tmp_path_factory.mktemp("config") / "footpath.toml"
    file.write_text("" if line is None else f"port = {line}", encoding="utf-8")
    environment = {} if variable is None else {"FOOTPATH_PORT": str(variable)}
    wanted = next((value for value in given_ if value is not None), Settings().port)
    assert read_settings({"port": flag}, environment, file).port == wanted


def test_every_setting_can_come_from_everywhere(tmp_path: Path) -> None:
    """Each setting's default, given as flag, variable or line of the file, is read as the same value and type."""
    default = Settings()
    file = tmp_path / "footpath.toml"
    for name in SETTINGS:
        value = getattr(default, name)
        file.write_text(f"{name} = {value!r}" if isinstance(value, (int, float)) else f"{name} = '{value}'", "utf-8")
        for settings in (
            read_settings({name: value}, {}),
            read_settings({}, {f"FOOTPATH_{name.upper()}": str(value)}),
            read_settings({}, {}, file),
            read_settings({}, {"FOOTPATH_CONFIG": str(file)}),
        ):
            assert settings == default
            assert type(getattr(settings, name)) is type(value) or isinstance(value, Path)


def test_every_setting_is_documented() -> None:
    """Every field of Settings has a doc line of a few words, and a default."""
    assert list(SETTINGS) == [item.name for item in fields(Settings)]
    assert all(len(doc.split()) >= 4 for doc in SETTINGS.values())
    assert read_settings({}, {}) == Settings()


def test_settings_are_frozen() -> None:
    """A setting cannot be changed after it was read."""
    with pytest.raises(AttributeError):
        read_settings({}, {}).port = 1  # type: ignore[misc]


WRONG = [
    ("port", "http"),
    ("port", "80.5"),
    ("port", "-1"),
    ("port", "65536"),
    ("port", ""),
    ("workers", "0"),
    ("workers", "inf"),
    ("flush_seconds", "0"),
    ("flush_seconds", "nan"),
    ("flush_seconds", "inf"),
    ("read_seconds", "-5"),
    ("part_actions", "0"),
    ("log", "xml"),
    ("host", ""),
    ("read_memory", "much"),
    ("keeper_memory", "0MB"),
    ("data", ""),
    ("keep", "90"),
    ("keep", "0d"),
    ("keep", "-3d"),
    ("keep", "1.5d"),
    ("keep", "3 months"),
    ("keep", "999999999w"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_a_wrong_value_names_its_source(tmp_path: Path, name: str, value: str, source: str) -> None:
    """A value that does not fit is refused with the flag, the variable or the file that it came from."""
    file = tmp_path / "footpath.toml"
    file.write_text(f"{name} = '{value}'", encoding="utf-8")
    variable = f"FOOTPATH_{name.upper()}"
    flags, environment, path, named = {
        "flag": ({name: value}, {}, None, f"--{name.replace('_', '-')}"),
        "environment": ({}, {variable: value}, None, variable),
        "file": ({}, {}, file, f"{name} in {file}"),
    }[source]
    with pytest.raises(BadSetting) as refused:
        read_settings(flags, environment, path)
    assert str(refused.value).startswith(f"{named} is {value!r}")


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    """A setting that does not exist is refused in the file and as a flag, with its source."""
    file = tmp_path / "footpath.toml"
    file.write_text("prot = 80", encoding="utf-8")
    with pytest.raises(BadSetting, match=r"prot in .*footpath\.toml"):
        read_settings({}, {}, file)
    with pytest.raises(BadSetting, match="--prot"):
        read_settings({"prot": 80}, {})


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"[table", None])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A settings file that is absent, not TOML or not UTF-8 is refused by name, from the flag and the variable."""
    file = tmp_path / "footpath.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadSetting, match=r"footpath\.toml"):
        read_settings({}, {}, file)
    with pytest.raises(BadSetting, match=r"footpath\.toml"):
        read_settings({}, {"FOOTPATH_CONFIG": str(file)})


@pytest.mark.parametrize(
    ("keep", "seconds"),
    [("90d", 7_776_000), ("12h", 43_200), ("2W", 1_209_600), ("5 m", 300), ("1s", 1), ("999999999s", 999_999_999)],
)
def test_keep_is_a_length_of_time(keep: str, seconds: int) -> None:
    """A number with its unit, in any case, is that many seconds; empty is for ever."""
    assert keep_micros(read_settings({"keep": keep}, {}).keep) == seconds * 1_000_000
    assert keep_micros(read_settings({"keep": ""}, {}).keep) is None


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback(host: str, alone: bool) -> None:
    """Only addresses that no other machine can reach count as loopback."""
    assert is_loopback(host) is alone
