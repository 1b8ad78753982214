"""The law of the tree (`.importlinter`), run as a test: who may import whom, and what can never reach card data."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[2]


@pytest.fixture
def contracts() -> configparser.ConfigParser:
    """The contracts as they are written."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser


def test_every_import_contract_is_kept(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=str(ROOT / ".importlinter"), no_cache=True, no_logo=True, verbose=False)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_card_data_stays_out_of_reach_of_store_messengers_and_every_feature_but_payments(contracts) -> None:
    contract = contracts["importlinter:contract:card-data"]
    assert contract["type"] == "forbidden"
    assert "allow_indirect_imports" not in contract, "not even through a third module"
    assert contract["forbidden_modules"].split() == ["tenderline.cardholder"]
    guarded = set(contract["source_modules"].split())
    flow = contracts["importlinter:contract:flow"]["layers"]
    features = next(line for line in flow.splitlines() if "recovery" in line).replace("|", " ").split()
    # Taking a card is `payments`' business: it starts the capture, and no other feature comes near it.
    wanted = {f"tenderline.{name}" for name in [*features, "store", "messengers", "crm", "compliance"]}
    assert guarded == wanted - {"tenderline.payments"}


def test_every_package_has_its_place_in_the_one_way(contracts) -> None:
    flow = contracts["importlinter:contract:flow"]
    assert flow["exhaustive"] == "True"
    placed = set(flow["layers"].replace("|", " ").split())
    there = {
        path.stem
        for path in (ROOT / "src/tenderline").iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    }
    assert there == placed
