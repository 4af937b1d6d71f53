"""Generates `generated/` from the proto, and tells whether what is committed there is up to date.

    python proto/generate.py                 rewrite generated/
    python proto/generate.py --check         exit 1 if generated/ is not what the proto gives
    python proto/generate.py --image FILE    write the proto and all that it imports as one descriptor set, for `buf`

Needs no network: buf/validate/validate.proto is in no package as a file, but the protovalidate package carries its
descriptor, and googleapis-common-protos installs google/api and google/rpc.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import protovalidate
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import code_pb2

PROTO = Path(__file__).resolve().parent
GENERATED = PROTO.parent / "generated"
VALIDATE_PROTO = "buf/validate/validate.proto"


def generate(target: Path) -> None:
    """Write the Python modules and their stubs into an empty folder.

    Args:
        target: the folder, made if it is missing.
    """
    target.mkdir(exist_ok=True)
    python = f"--python_out={target}", f"--mypy_out=quiet:{target}"
    grpc = f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}"
    own = [str(path.relative_to(PROTO)) for path in sorted(PROTO.rglob("*.proto"))]
    run_protoc(*python, VALIDATE_PROTO, *own)
    run_protoc(*grpc, *own)
    for name in own:
        for package in list((target / name).relative_to(target).parents)[:-1]:
            (target / package / "__init__.py").touch()
        (target / Path(name).parts[0] / "py.typed").touch()
    # buf stays a namespace package, so that another distribution can bring modules of that name.
    (target / VALIDATE_PROTO).parent.joinpath("py.typed").touch()


def write_image(path: Path) -> None:
    """Write the proto and all that it imports as one descriptor set with comments.

    Args:
        path: the file to write.
    """
    own = [str(source.relative_to(PROTO)) for source in sorted(PROTO.rglob("*.proto"))]
    run_protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={path}", *own)


def run_protoc(*arguments: str) -> None:
    """Run the protoc of grpcio-tools with everything importable that the proto imports.

    Args:
        arguments: options and files.

    Raises:
        SystemExit: protoc failed; it has said why on standard error.
    """
    google_apis = Path(code_pb2.__file__).parents[2]
    well_known = files("grpc_tools") / "_proto"
    environment = Path(sys.executable).parent
    with tempfile.NamedTemporaryFile(suffix=".binpb") as descriptors:
        descriptors.write(validate_descriptors().SerializeToString(deterministic=True))
        descriptors.flush()
        code = subprocess.call(
            [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={descriptors.name}"]
            + [f"--proto_path={folder}" for folder in (PROTO, google_apis, well_known)]
            + [f"--plugin={environment / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
            + list(arguments)
        )
    if code:
        raise SystemExit(code)


def validate_descriptors() -> FileDescriptorSet:
    """Return the descriptors of validate.proto and of what it imports, in order of dependency."""
    validate = FileDescriptorProto.FromString(protovalidate.FieldPathPb.desc().file.proto.to_binary())
    descriptors = FileDescriptorSet()
    for name in validate.dependency:
        module = import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        module.DESCRIPTOR.CopyToProto(descriptors.file.add())
    descriptors.file.append(validate)
    return descriptors


def differences(left: Path, right: Path) -> list[str]:
    """Return the relative paths of the files that are not the same in both folders, sorted."""

    def contents(folder: Path) -> dict[str, bytes]:
        paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    one, other = contents(left), contents(right)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate generated/ from the proto.")
    parser.add_argument("--check", action="store_true", help="only tell whether generated/ is up to date")
    parser.add_argument("--image", type=Path, metavar="FILE", help="write one descriptor set of the proto instead")
    arguments = parser.parse_args()
    if arguments.image:
        write_image(arguments.image)
        return
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder, GENERATED.name)
        generate(fresh)
        if not arguments.check:
            shutil.rmtree(GENERATED, ignore_errors=True)
            shutil.copytree(fresh, GENERATED)
        elif changed := differences(fresh, GENERATED):
            raise SystemExit("generated/ is out of date; run `make generate`: " + ", ".join(changed))


if __name__ == "__main__":
    main()
