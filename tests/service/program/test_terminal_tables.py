"""A table fits the terminal it is printed on: short texts stay in one line, and what matters least goes first."""

from rich.console import Console

from service.program.terminal_tables import terminal_table

HEAD = ("time", "what", "card id", "by")
ROW = ("2026-01-02T03:04:05.678Z", "a report of what has happened to it since", "0123456789" * 3, "somebody")


def lines(width: int, *goes_first: str) -> list[str]:
    """Return what is printed without a style, but for the line below the head."""
    fitting = terminal_table(HEAD, [ROW], goes_first, width)
    console = Console(width=fitting.width, color_system=None)
    with console.capture() as capture:
        console.print(fitting.table)
    head, _, *rows = (line.rstrip() for line in capture.get().splitlines())
    return [head, *rows]


def test_where_there_is_room_each_row_has_one_line() -> None:
    assert lines(200) == [
        "time UTC             what                                       card id                         by",
        f"2026-01-02 03:04:05  {ROW[1]}  {ROW[2]}  somebody",
    ]


def test_prose_is_wrapped_between_its_words_before_anything_else() -> None:
    assert lines(80, "by")[1:] == [
        f"2026-01-02 03:04:05  a report of what   {ROW[2]}  somebody",
        "                     has happened to",
        "                     it since",
    ]


def test_where_words_do_not_fit_the_least_columns_are_left_out_and_named() -> None:
    assert terminal_table(HEAD, [ROW], ("by", "what"), 70).left_out == ["by"]
    assert lines(60, "by", "what")[1] == f"2026-01-02 03:04:05  {ROW[2]}"


def test_a_word_is_broken_where_nothing_may_be_left_out_but_no_id() -> None:
    assert any(ROW[2] in line for line in lines(20))


def test_a_table_without_rows_has_its_head() -> None:
    fitting = terminal_table(HEAD, [], ("by",), 80)

    assert (fitting.table.row_count, fitting.left_out) == (0, [])
