"""Whatever rows a schema allows come back from the disk as they were."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbpipe.records import EXPLANATIONS, LEDGER, OUTCOME, PART, read_table, write_table

SCHEMAS = {"outcome": OUTCOME, "part": PART, "ledger": LEDGER, "explanations": EXPLANATIONS}


def values(kind: pa.DataType, nullable: bool) -> st.SearchStrategy[Any]:
    """Return any values that a column of this type may hold."""
    if pa.types.is_list(kind):
        found = st.lists(values(kind.value_type, kind.value_field.nullable), max_size=4)
    elif pa.types.is_struct(kind):
        found = st.fixed_dictionaries({field.name: values(field.type, field.nullable) for field in kind})
    elif pa.types.is_integer(kind):
        found = st.integers(-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)
    elif pa.types.is_floating(kind):
        found = st.floats(width=kind.bit_width, allow_nan=False)  # NaN is equal to nothing
    else:
        assert pa.types.is_string(kind), f"no values are known for {kind}"
        found = st.text()
    return st.none() | found if nullable else found


@pytest.mark.parametrize(
    "schema", [OUTCOME, PART, LEDGER, EXPLANATIONS], ids=["outcome", "part", "ledger", "explanations"]
)
@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.data())
def test_any_rows_are_read_back_as_written(schema: pa.Schema, data: st.DataObject) -> None:
    row = st.fixed_dictionaries({field.name: values(field.type, field.nullable) for field in schema})
    rows = data.draw(st.lists(row, max_size=3))
    with TemporaryDirectory() as folder:
        one, two = Path(folder, "one.parquet"), Path(folder, "two.parquet")
        for path in (one, two):
            write_table(path, pa.Table.from_pylist(rows, schema=schema))
        table = read_table(one, schema)
        assert table.to_pylist() == rows
        assert table.schema == schema
        assert one.read_bytes() == two.read_bytes()
