"""What clients of the last release have goes on working: buf refuses a change of the proto that would break them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from tests.running import PROGRAMS

RELEASED = Path("proto/released.binpb")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    """The proto as it is now, with all that it imports."""
    path = tmp_path_factory.mktemp("image") / "image.binpb"
    subprocess.run([sys.executable, "proto/generate.py", "--image", str(path)], check=True)
    return FileDescriptorSet.FromString(path.read_bytes())


def breaking(image: FileDescriptorSet, folder: Path) -> list[str]:
    """Return what buf has against an image."""
    path = folder / "changed.binpb"
    path.write_bytes(image.SerializeToString())
    command = [str(PROGRAMS / "buf"), "breaking", str(path), f"--against={RELEASED}", "--config=buf.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is (done.stdout == ""), done.stderr
    return done.stdout.splitlines()


def request(file: FileDescriptorProto) -> DescriptorProto:
    return next(message for message in file.message_type if message.name == "ListSalesRequest")


def page_size(file: FileDescriptorProto) -> FieldDescriptorProto:
    return next(field for field in request(file).field if field.name == "page_size")


def renumber_a_field(file: FileDescriptorProto) -> None:
    page_size(file).number = 99


def rename_a_field(file: FileDescriptorProto) -> None:
    page_size(file).name = "size_of_page"


def change_a_type(file: FileDescriptorProto) -> None:
    page_size(file).type = FieldDescriptorProto.TYPE_SINT64


def remove_an_rpc(file: FileDescriptorProto) -> None:
    del file.service[0].method[0]


def make_an_rpc_a_stream(file: FileDescriptorProto) -> None:
    file.service[0].method[0].server_streaming = True


def add(file: FileDescriptorProto) -> None:
    new = FieldDescriptorProto(name="note", json_name="note", number=99, type="TYPE_STRING", label="LABEL_OPTIONAL")  # type: ignore[arg-type]
    request(file).field.append(new)
    name = f".{file.package}.ListSalesRequest"
    file.service[0].method.append(MethodDescriptorProto(name="Echo", input_type=name, output_type=name))


def changed(image: FileDescriptorSet, change: Callable[[FileDescriptorProto], None]) -> FileDescriptorSet:
    copy = FileDescriptorSet()
    copy.CopyFrom(image)
    (file,) = (each for each in copy.file if each.name.endswith("/sale_service.proto"))
    file.ClearField("source_code_info")
    change(file)
    return copy


def test_the_proto_breaks_no_client(image: FileDescriptorSet, tmp_path: Path) -> None:
    assert breaking(image, tmp_path) == []


def test_what_is_new_breaks_no_client(image: FileDescriptorSet, tmp_path: Path) -> None:
    assert breaking(changed(image, add), tmp_path) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (renumber_a_field, 'with name "page_size" on message "ListSalesRequest" was deleted'),
        (rename_a_field, "size_of_page"),
        (change_a_type, "sint64"),
        (remove_an_rpc, 'Previously present RPC "InitiateSale"'),
        (make_an_rpc_a_stream, "streaming"),
    ],
)
def test_what_breaks_a_client_is_refused(
    image: FileDescriptorSet, tmp_path: Path, change: Callable[[FileDescriptorProto], None], told: str
) -> None:
    faults = breaking(changed(image, change), tmp_path)

    assert any(told in fault for fault in faults), faults
