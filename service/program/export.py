"""Sales as lines of JSON or CSV, for accounting."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TextIO

from connectingparty.sale.v1.sale_pb2 import Sale as SaleMessage

from gateway.json_codec import JsonCodec
from service.rpc.messages import sale_message
from service.store import Sale, SaleFilter, Store

Format = Literal["jsonl", "csv"]

_BATCH = 500
_CODEC = JsonCodec(SaleMessage)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


async def export_sales(
    store: Store, filter: SaleFilter, format: Format, output: TextIO, on_written: Callable[[int], None]
) -> None:
    """Write sales, the oldest first, every value under the name that it has in the JSON of the proto's Sale.

    In CSV a part of an object is `object.part`, and what a list holds is joined by spaces. A text that a spreadsheet
    would take for a formula has an apostrophe before it: some of it comes from consumers' apps.

    Args:
        store: where the sales are.
        filter: which ones.
        format: `jsonl` or `csv`.
        output: where they are written.
        on_written: called with how many were written since the last call.
    """
    write = _csv_writer(output) if format == "csv" else _jsonl_writer(output)
    page = await store.list_sales(filter, None, _BATCH, oldest_first=True)
    while True:
        write(page.sales)
        on_written(len(page.sales))
        if page.end is None:
            return
        page = await store.list_sales(filter, page.end, _BATCH, oldest_first=True)


def _jsonl_writer(output: TextIO) -> Callable[[Sequence[Sale]], None]:
    def write(sales: Sequence[Sale]) -> None:
        output.writelines(_CODEC.encode(sale_message(sale)).decode() + "\n" for sale in sales)

    return write


def _csv_writer(output: TextIO) -> Callable[[Sequence[Sale]], None]:
    descriptor: Any = SaleMessage.DESCRIPTOR  # its stub names two classes that are one
    writer = csv.DictWriter(output, list(_columns(descriptor)), lineterminator="\n")
    writer.writeheader()

    def write(sales: Sequence[Sale]) -> None:
        for sale in sales:
            writer.writerow(dict(_cells(_CODEC.to_object(sale_message(sale)))))

    return write


def _columns(descriptor: Any, prefix: str = "") -> Iterator[str]:
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.file.package == descriptor.file.package:
            yield from _columns(field.message_type, f"{prefix}{field.json_name}.")
        else:
            yield prefix + field.json_name


def _cells(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        match value:
            case dict():
                yield from _cells(value, f"{prefix}{name}.")
            case list():
                yield prefix + name, " ".join(value)
            case str() if value.startswith(_FORMULA_STARTS):
                yield prefix + name, "'" + value
            case _:
                yield prefix + name, value
