"""Stage 14: pack a trained model into one file, with a model card, in ESPnet's pack format.

What decoding needs goes along and nothing names a folder of this machine: the file opens on any
other, by `espnet_otreg.decode.speech2text.Speech2Text.from_pretrained`. Weights are written as
safetensors, in which nothing can run. Two kinds of file stay as training wrote them, and are read
as tensors alone: with --stock model.pth, as stock ESPnet reads no other format, and with
--include_base an ESPnet encoder's checkpoint, as its hash is what the model knows it by.
"""

import argparse
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--asr_exp", type=Path, required=True, help="folder with config.yaml")
    parser.add_argument("--model_file", default="valid.acc.ave.pth", help="file in that folder")
    parser.add_argument("--output", type=Path, required=True, help=".zip, .tgz, .tar.gz or .tar")
    parser.add_argument(
        "--method", choices=["beam", "ctc_greedy", "slm"], help="how it is decoded (default: slm "
        "for model: slm, ctc_greedy for ctc_weight: 1.0, else beam)",
    )  # fmt: skip
    parser.add_argument("--inference_config", type=Path, help="decoding YAML to go along")
    parser.add_argument("--inference_args", default="", help="further decoding options to go along")
    parser.add_argument("--lm", help="masked language model whose pieces are the tokens")
    parser.add_argument(
        "--include_base",
        action="store_true",
        help="put the frozen base models of a speech language model into the pack",
    )
    parser.add_argument(
        "--stock", action="store_true", help="pack what stock ESPnet opens without this package"
    )
    card = parser.add_argument_group("for the model card")
    card.add_argument("--name", help="of the model (default: the folder's)")
    card.add_argument("--results", type=Path, help="results.json of espnet_otreg.stages.compare")
    card.add_argument("--results_page", type=Path, help="Markdown in place of --results")
    card.add_argument("--train_corpora", nargs="*", default=[], help="default: from config.yaml")
    card.add_argument("--init_corpora", nargs="*", default=[], help="of the checkpoint before")
    card.add_argument("--languages", nargs="*", default=[], help="codes such as en")
    card.add_argument(
        "--mini", choices=["true", "false"], help="whether the corpora are synthetic miniatures"
    )
    card.add_argument("--license", default="apache-2.0", help="as the hub writes it")
    card.add_argument("--hf_repo", help="user/name, where the example will load it from")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Pack."""
    args = get_parser().parse_args(cmd)
    run(lambda: pack(args))


def pack(args: argparse.Namespace) -> None:
    """Gather in a temporary folder, then write the file whole."""
    from espnet_otreg.files import write_lines
    from espnet_otreg.hub.archive import suffix_of, write_pack
    from espnet_otreg.hub.card import Card, model_card
    from espnet_otreg.hub.card_results import read_results
    from espnet_otreg.hub.contents import Wanted, assemble
    from espnet_otreg.hub.facts import CARD
    from espnet_otreg.hub.training_data import training_data
    from espnet_otreg.scoring.provenance import read_training_run

    suffix_of(args.output)
    results = read_results(args.results, args.asr_exp) if args.results else None
    page = args.results_page.read_text(encoding="utf-8") if args.results_page else None
    with tempfile.TemporaryDirectory(prefix="espnet_otreg-") as beside:
        experiment, model_file = _exported(args, Path(beside) / "stock")
        wanted = Wanted(
            experiment=experiment,
            model_file=model_file,
            trained_in=args.asr_exp,
            name=args.name or args.asr_exp.resolve().name,
            loaded_as=args.hf_repo or args.output.name,
            method=args.method,
            inference_config=args.inference_config,
            inference_args=args.inference_args,
            lm=args.lm,
            include_base=args.include_base,
            stock=args.stock,
        )
        folder = Path(beside) / "pack"
        folder.mkdir()
        contents = assemble(wanted, folder)
        mini = None if args.mini is None else args.mini == "true"
        given = (args.train_corpora, args.init_corpora, args.languages, mini)
        card = Card(
            data=training_data(contents.trained_as, *given),
            license=args.license,
            run=read_training_run(args.asr_exp),
            checkpoint=(args.asr_exp / args.model_file).resolve().name,
            stock=args.stock,
            results=results,
            page=page,
        )
        if card.data.mini is None:
            logging.warning("the card cannot say whether the data is synthetic: give --mini")
        write_lines(folder / CARD, [model_card(contents, card).rstrip("\n")])
        write_pack(folder, args.output)
    size = args.output.stat().st_size / 1e6
    logging.info("packed in %s, %.1f MB; model %s", args.output, size, contents.facts.model)
    if contents.facts.model == "otreg":
        logging.info(
            "it opens with this package; --stock packs the same weights for stock ESPnet, as does "
            "espnet_otreg.stages.export_stock: the transport term has no parameters"
        )


def _exported(args: argparse.Namespace, folder: Path) -> tuple[Path, str]:
    """Name the experiment and the model to pack: with --stock, what is left for stock ESPnet."""
    from espnet_otreg.errors import UserError
    from espnet_otreg.hub.contents import read_config
    from espnet_otreg.hub.facts import CONFIG, MODEL
    from espnet_otreg.stages.export_stock import OWN_PARTS, export

    if not args.stock:
        return args.asr_exp, args.model_file
    config = read_config(args.asr_exp / CONFIG)
    if config.get("postencoder") in OWN_PARTS or args.lm or config.get("model") == "slm":
        raise UserError(
            f"--stock: {args.asr_exp} needs this package to be decoded (model {config['model']}, "
            f"postencoder {config.get('postencoder')}, or a language model's pieces): leave "
            "--stock out"
        )
    if config.get("model", "espnet") == "espnet":
        return args.asr_exp, args.model_file
    export(args.asr_exp, args.model_file, folder)
    return folder, MODEL


if __name__ == "__main__":
    main()
