"""Pictures of what was logged: of a training run, or of the queries that failed.

python -m misc.pictures curves runs/toy                   # writes runs/toy/curves.png
python -m misc.pictures curves runs/toy -o docs/curves.png
python -m misc.pictures failures hits.csv -p runs/toy/best.pt            # writes hits.png
python -m misc.pictures failures ranks.parquet -p runs/toy/best.pt --top 20 -o out/worst.png
"""

import argparse
from pathlib import Path
from typing import Any

from misc.cli import run
from misc.cli.arguments import positive
from misc.cli.options import common_options, localization_options, model_options, script_parser


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(__doc__, prog="python -m misc.pictures")
    commands = parser.add_subparsers(required=True, dest="command", metavar="curves|failures")
    curves = commands.add_parser("curves", help="loss, learning rate and recalls over the epochs")
    curves.add_argument("run", type=Path, help="folder of the run, such as runs/toy")
    curves.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the PNG; default: curves.png in the run"
    )
    failures = commands.add_parser(
        "failures",
        help="the worst queries of a table, on their images with heat maps",
        parents=[model_options(batch_size=8), localization_options(), common_options()],
    )
    failures.add_argument(
        "table",
        type=Path,
        metavar="FILE",
        help="of eval_retrieval.py --save-ranks or pointing_game.py --save-hits",
    )
    failures.add_argument(
        "--top",
        type=positive,
        default=50,
        metavar="N",
        help="so many queries, of ranks in each direction (default: %(default)s)",
    )
    failures.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the PNG; default: beside the table, with its name",
    )
    return parser


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Draw what was asked for; return the picture's file, and how many images it lacks."""
    return draw_curves(args) if args.command == "curves" else draw_failures(args)


def draw_curves(args: argparse.Namespace) -> dict[str, Any]:
    """Draw loss, recalls and learning rate over the epochs."""
    from misc.pictures import curves
    from misc.pictures.png import save_png

    picture = curves.draw_curves(curves.read_log(args.run), args.run.resolve().name)
    file: Path = args.output or args.run / "curves.png"
    save_png(picture, file)
    print(file)  # noqa: T201
    return {"file": str(file)}


def draw_failures(args: argparse.Namespace) -> dict[str, Any]:
    """Draw the worst queries of a table, each on its image, with the heat map of its text."""
    from misc.cli import write_json
    from misc.data.paths import DataPaths
    from misc.inference.acceleration import accelerate
    from misc.inference.encode import text_kernels
    from misc.inference.loading import load_with_words
    from misc.pictures.misses import draw_misses, read_misses
    from misc.pictures.png import save_png
    from misc.runtime.device import select_device

    kinds = read_misses(args.table, args.top)
    device = select_device(args.device)
    paths = DataPaths(args.data_root)
    model, word_vectors = load_with_words(args.path, device, paths, args.word_vectors)
    model = accelerate(model, args.precision)
    components = args.components or model.config.heat_map_components
    kernels = text_kernels(model, word_vectors, components, args.first_sentence)
    size = args.image_size or model.config.localization_size
    options = args.batch_size, args.workers, args.affinity
    sheet, failures = draw_misses(kinds, model, kernels, size, *options)
    file: Path = args.output or args.table.with_suffix(".png")
    save_png(sheet, file)
    print(file)  # noqa: T201
    results = {"file": str(file), "images_left_out": len(failures)}
    write_json(results, args.json)
    return results


if __name__ == "__main__":
    run(main, get_parser())
