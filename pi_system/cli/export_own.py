"""``pi-train export-torch`` and ``export-onnx``: networks that were trained elsewhere become artifacts.

pi-train export-torch torchvision.models:resnet18 model --set num_classes=10 --weights best.safetensors
--calibration pictures --size 224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --classes classes.txt
pi-train export-torch mine:build model --weights hub --preprocess hub/preprocessor_config.json --classes hub/config.json
--calibration pictures
pi-train export-onnx network.onnx model --calibration inputs.npy
"""

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
from torch import nn

from pi_system.channel.link import parse_link
from pi_system.cli.compare import options_of
from pi_system.cli.export import export, show_export
from pi_system.cli.methods import pairs
from pi_system.cli.options import json_option
from pi_system.cli.program import with_options
from pi_system.errors import ArtifactError, InputError
from pi_system.export.calibration import Geometry, read_calibration
from pi_system.export.checkpoint import load_checkpoint
from pi_system.export.compare_bits import CompareOptions, choose_compare_bits
from pi_system.export.compile import compile_network
from pi_system.export.described import Described, read_classes, read_preprocessing
from pi_system.export.job import write_export
from pi_system.export.quantise import QuantiseOptions
from pi_system.export.source import open_source

_PATH = click.Path(path_type=Path)
_QUANTISING = {field.name for field in fields(QuantiseOptions)}
_FURTHER = {"link", "compare_bits", "compare_loss", "compare_pictures"}


def _size(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", value, re.ASCII)
    if found is None or int(found[1]) == 0 or int(found[2] or 1) == 0:
        raise click.BadParameter(f"expected a number of pixels, or HEIGHTxWIDTH, found {value}")
    return int(found[1]), int(found[2] or found[1])


def _floats(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    try:
        return None if value is None else tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected numbers with commas between them, found {value}") from None


_own_options = with_options(
    click.option(
        "--calibration",
        type=_PATH,
        required=True,
        help="Folder of pictures, or .npy or .csv of inputs: typical ones, 64 or more, none of the test set.",
    ),
    click.option(
        "--classes", type=_PATH, help="A name a line, or JSON: a list, id2label, label_names. Default: numbers."
    ),
    click.option("--preprocess", type=_PATH, help="JSON with mean, std and size: Hugging Face's, timm's or your own."),
    click.option("--size", callback=_size, help="Of pictures: a number of pixels, or HEIGHTxWIDTH."),
    click.option("--channels", type=click.Choice(["1", "3"]), default="3", show_default=True, help="Of pictures."),
    click.option("--mean", callback=_floats, help="By channel, of pixels from 0 to 1 or of an array's values."),
    click.option("--std", callback=_floats, help="By channel."),
    click.option(
        "--approximate",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        is_flag=False,
        flag_value=0.01,
        help="Replace smooth functions (GELU, SiLU, a sigmoid inside) by straight pieces that differ by at most this; "
        "given without a number: 0.01. Without it they are refused.",
    ),
)


def _quantise_options(command: Any) -> Any:
    """The options of ``pi-train export`` that say how fixed point and compared bits are chosen, and its --link."""
    command.params += [one for one in export.params if one.name in _QUANTISING | _FURTHER]
    return command


@_quantise_options
@click.command("export-torch")
@click.argument("network")
@click.argument("folder", type=_PATH)
@click.option(
    "--weights", type=_PATH, help="safetensors, or a file of torch.save with weights alone; or a hub's folder."
)
@click.option("--set", "arguments", multiple=True, metavar="KEY=VALUE", help="Argument of the factory (JSON or text).")
@_own_options
@json_option
def export_torch(
    network: str, folder: Path, weights: Path | None, arguments: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Export a torch network trained elsewhere as the artifact FOLDER; its Python code is run.

    NETWORK is module:factory, a function or class that makes it (or the network itself), looked for in the working
    folder, too; or the .pt2 file of torch.export.save.
    """
    _check_new(folder)
    found = open_source(network, {key: _literal(value) for key, value in pairs(arguments).items()})
    if weights is not None:
        if not isinstance(found, nn.Module):
            raise InputError(f"weights: expected a torch module to load them into, found {type(found).__name__}")
        load_checkpoint(found, weights)
    _export(found, folder, network, as_json, options)


@_quantise_options
@click.command("export-onnx")
@click.argument("file", type=_PATH)
@click.argument("folder", type=_PATH)
@_own_options
@json_option
def export_onnx(file: Path, folder: Path, as_json: bool, **options: Any) -> None:
    """Export the network in the ONNX file FILE as the artifact FOLDER."""
    _check_new(folder)
    _export(file, folder, file.stem, as_json, options)


@dataclass(frozen=True, slots=True)
class _Given:
    """Options apart: what is said of inputs, and how fixed point is chosen."""

    geometry: Geometry
    quantise: QuantiseOptions

    @classmethod
    def of(cls, options: dict[str, Any]) -> "_Given":
        said = read_preprocessing(options["preprocess"]) if options["preprocess"] else Described()
        geometry = Geometry(
            size=options["size"] or said.size,
            channels=int(options["channels"]),
            mean=options["mean"] or said.mean or (0.0,),
            std=options["std"] or said.std or (1.0,),
        )
        return cls(geometry, QuantiseOptions(**{name: options[name] for name in _QUANTISING if name in options}))


def _export(network: object, folder: Path, name: str, as_json: bool, options: dict[str, Any]) -> None:
    link, compare, given = parse_link(options["link"]), options_of(options) or CompareOptions(), _Given.of(options)
    classes = read_classes(options["classes"]) if options["classes"] else None
    calibration = read_calibration(options["calibration"], given.geometry)
    artifact = compile_network(
        network,
        calibration.inputs,
        classes=classes,
        preprocess=calibration.preprocess,
        name=name,
        options=given.quantise,
        approximate=options["approximate"],
    )
    inputs = calibration.inputs.reshape(-1, *artifact.public.graph.input.shape)
    artifact, table = choose_compare_bits(artifact, inputs, compare)
    show_export(write_export(artifact, folder, inputs, table), folder, link, as_json)


def _check_new(folder: Path) -> None:
    """Before anything is computed. Raises ArtifactError."""
    if folder.exists():
        raise ArtifactError(f"{folder}: expected a folder that does not exist yet")


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
