"""Compiled code is kept where it can be, and nothing that happens to it stops anybody."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest

from softhebb_spiking._cache import cached_njit

SOURCE = """
def double(x):
    return 2 * x
"""


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what decorates the same function anew, as another process would."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "doubling.py"
    path.write_text(SOURCE)

    def again(**options: Any) -> Any:
        spec = importlib.util.spec_from_file_location("doubling", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return cached_njit(**options)(module.double)

    return again


def _hits(function: Any) -> int:
    return sum(function.stats.cache_hits.values())


def _files(folder: Path, kind: str) -> list[Path]:
    return sorted((folder / "cache").rglob(f"*.{kind}"))


@pytest.mark.parametrize("options", [{}, {"inline": "always"}, {"_nrt": False}])
def test_code_is_kept(compiled: Callable[..., Any], options: dict[str, Any]) -> None:
    first = compiled(**options)
    assert (first(3), first(1.5), _hits(first)) == (6, 3.0, 0)
    second = compiled(**options)
    assert (second(3), second(1.5), _hits(second)) == (6, 3.0, 2)


def _of_another_version(path: Path) -> None:
    with path.open("rb") as file:
        pickle.load(file)
        rest = file.read()
    path.write_bytes(pickle.dumps("0.1") + rest)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x93garbage" * 20)


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _other_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(numba.__version__) + pickle.dumps(["an", "index", "is", "two"]))


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize(
    "damage", [_of_another_version, _cut, _empty, _garbage, _zeros, _other_pickle]
)
def test_what_is_damaged_is_compiled_anew(
    compiled: Callable[..., Any], tmp_path: Path, kind: str, damage: Callable[[Path], None]
) -> None:
    assert compiled()(3) == 6
    (victim,) = _files(tmp_path, kind)
    damage(victim)
    second = compiled()
    assert (second(3), _hits(second)) == (6, 0)
    third = compiled()  # and kept again
    assert (third(3), _hits(third)) == (6, 1)


def test_code_is_not_missed_if_no_folder_can_be_written(
    compiled: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba.core.caching import _CacheLocator

    def refuse(self: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(_CacheLocator, "ensure_cache_path", refuse)
    for _ in range(2):
        function = compiled()
        assert (function(3), _hits(function)) == (6, 0)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError(13)])
def test_code_that_cannot_be_written_is_used_all_the_same(
    compiled: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    from numba.core.caching import IndexDataCacheFile

    def refuse(self: Any, name: str, data: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(IndexDataCacheFile, "_save_data", refuse)
        assert compiled()(3) == 6
        # The index must not name a file that another source's code may still be in.
        patch.setattr(IndexDataCacheFile, "_save_index", refuse)
        patch.setattr(IndexDataCacheFile, "_load_index", lambda self: {("key",): "file"})
        assert compiled()(3) == 6
        assert _files(tmp_path, "nbi") == []
    assert compiled()(3) == 6


@pytest.mark.parametrize("missing", ["enable_caching", "_cache"])
def test_another_numba_may_keep_code_in_another_way(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Some later numba may have none of the names that are used here."""

    class Other:
        def __init__(self, function: Any) -> None:
            self.function = function

        if missing == "_cache":

            def enable_caching(self) -> None:
                pass

    def other_njit(**options: Any) -> Any:
        return Other

    monkeypatch.setattr("softhebb_spiking._cache.njit", other_njit)
    assert cached_njit()(len).function is len


def test_numba_may_be_switched_off(
    compiled: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert compiled()(3) == 6


def test_importing_the_package_does_not_take_numba_along() -> None:
    code = "import sys, softhebb_spiking; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
