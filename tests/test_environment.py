"""pyproject.toml and environment.yml must ask for the same things."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"torch": "pytorch"}
PROGRAMS = {"tesseract"}  # no Python packages, so pip and pyproject.toml know nothing of them


def split(requirement: str) -> tuple[str, str]:
    """Return the name and the constraint of a requirement."""
    cut = min((requirement.find(mark) for mark in "<>=!~" if mark in requirement), default=len(requirement))
    return requirement[:cut].strip(), requirement[cut:].strip()


def in_pyproject() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    wanted = dict(split(requirement) for requirement in project["dependencies"] + extras)
    own = {CONDA_NAMES.get(name, name): rule for name, rule in wanted.items() if not name.startswith("nbpipe[")}
    return own | {"python": project["requires-python"]}


def in_environment() -> dict[str, str]:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [entry for entry in listed if isinstance(entry, str) and entry != "pip"]
    pip = [entry for group in listed if isinstance(group, dict) for entry in group["pip"] if not entry.startswith("--")]
    return dict(split(requirement) for requirement in conda + pip)


def test_conda_users_get_the_same_constraints() -> None:
    wanted = in_environment()
    assert {name: rule for name, rule in wanted.items() if name not in PROGRAMS} == in_pyproject()


def test_conda_users_get_every_program() -> None:
    assert in_environment().keys() >= PROGRAMS


def test_the_preprocessor_installs_without_torch() -> None:
    base = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    heavy = {"torch", "scikit-learn", "captum", "jupyterlab", "matplotlib", "ray", "s3fs"}
    assert not {split(requirement)[0] for requirement in base} & heavy


def test_all_brings_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = set(extras["all"][0].removeprefix("nbpipe[").removesuffix("]").split(","))
    assert named == extras.keys() - {"all"}
