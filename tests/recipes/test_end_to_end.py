"""Both recipes from nothing to the table, on seconds of speech; then everything around a re-run."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from espnet_otreg.files import read_table
from tests.support import recipe as recipe_tools

BEAM = ["--inference_method", "beam", "--inference_args", "--maxlenratio 0.2"]
OPTIONS: dict[str, list[str]] = {"covost2_otreg": BEAM, "fleurs_otreg": []}  # both ways to decode
DOMAINS = {
    "covost2_otreg": ("covost2_test", "fleurs_test"),
    "fleurs_otreg": ("fleurs_test", "covost2_test"),
}


@pytest.fixture(scope="class")
def finished(request, tmp_path_factory):
    """A recipe that ran through all stages once."""
    name = request.cls.recipe
    folder = recipe_tools.copy_recipe(name, tmp_path_factory.mktemp(name))
    done = recipe_tools.run_recipe(folder, *OPTIONS[name])
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done


def experiment(folder: Path, stem: str) -> Path:
    records = (folder / "exp/.steps").glob(f"asr_{stem}_????????.json")
    (found,) = [folder / "exp" / path.stem for path in records]
    return found


class EndToEnd:
    def test_the_recipe_ends_with_the_comparison_in_and_across_domains(self, finished):
        folder, done = finished
        inside, across = DOMAINS[folder.name]
        results = json.loads((folder / "exp/results.json").read_text())
        text = json.dumps(results)
        assert "stock ESPnet" in done.stdout
        assert "OTReg" in done.stdout
        assert inside in text
        assert across in text
        page = (folder / "exp/RESULTS.md").read_text()
        for fact in ("normaliser", "espnet 20", "seed", "training time", "cpu", "./otreg.sh --"):
            assert fact in page.lower(), fact

    def test_the_last_line_is_where_the_report_lies_and_it_has_every_utterance(self, finished):
        folder, done = finished
        page = folder / "exp/report.html"
        assert done.stderr.rstrip().splitlines()[-1].endswith(f": {page.resolve()}")
        text = page.read_text()
        for name in DOMAINS[folder.name]:
            for utterance in read_table(folder / "dump/raw/org" / name / "text"):
                assert f'data-audio="{name}/{utterance}"' in text
        assert text.count('data-kind="plan"') >= 2

    def test_every_test_utterance_is_decoded_by_every_system(self, finished):
        folder, _ = finished
        for stem in ("init", "train_seed1", "train_otreg_seed1"):
            for name in DOMAINS[folder.name]:
                (decoded,) = experiment(folder, stem).glob(f"*decode*/{name}/text")
                assert (
                    read_table(decoded).keys()
                    == read_table(folder / "dump/raw/org" / name / "wav.scp").keys()
                )

    def test_the_arms_share_everything_but_the_model(self, finished):
        folder, _ = finished
        configs = [
            yaml.safe_load((experiment(folder, stem) / "config.yaml").read_text())
            for stem in ("train_seed1", "train_otreg_seed1")
        ]
        for config in configs:
            for key in ("config", "output_dir", "model"):
                config.pop(key)
            config["model_conf"].pop("ot_conf", None)
        assert configs[0] == configs[1]
        assert configs[0]["init_param"] == [
            f"exp/{experiment(folder, 'init').name}/valid.acc.ave.pth"
        ]

    def test_running_again_does_nothing_and_says_so(self, finished):
        folder, _ = finished
        before = {p: p.stat().st_mtime_ns for p in folder.glob("exp/*/*.pth")}
        before |= {p: p.stat().st_mtime_ns for p in folder.glob("dump/raw/**/*.flac")}
        again = recipe_tools.run_recipe(folder, *OPTIONS[folder.name])
        assert again.returncode == 0, again.stderr[-3000:]
        assert before == {p: p.stat().st_mtime_ns for p in before}
        for stage in (1, 3, 4, 5, 10, 11, 12, 13, 14):
            assert f"stage {stage}: already done" in again.stderr
        assert "never made" not in again.stderr and "training in" not in again.stderr

    def test_an_edited_config_trains_in_a_new_folder(self, finished):
        folder, _ = finished
        if folder.name != "covost2_otreg":
            pytest.skip("once is enough")
        text = (folder / "conf/mini/train_otreg.yaml").read_text()
        edited = folder / "conf/edited/train_otreg.yaml"  # a copy: others read this recipe too
        edited.parent.mkdir()
        edited.write_text(text.replace("weight: 0.3\n", "weight: 0.2\n", 1))
        old = experiment(folder, "train_otreg_seed1")
        kept = (old / "valid.acc.ave.pth").stat().st_mtime_ns
        configs = f"conf/mini/train.yaml {edited.relative_to(folder)}"
        again = recipe_tools.run_recipe(
            folder, "--asr_config", configs, "--stage", "11", "--stop_stage", "11"
        )
        assert again.returncode == 0, again.stderr[-3000:]
        assert "ot_conf.weight: 0.3 -> 0.2" in again.stderr
        folders = [p for p in (folder / "exp").glob("asr_train_otreg_seed1_*") if p.is_dir()]
        assert len(folders) == 2
        assert (old / "valid.acc.ave.pth").stat().st_mtime_ns == kept
        new = next(p for p in folders if p != old)
        (folder / f"exp/.steps/{new.name}.json").unlink()  # `experiment` finds the other one

    def test_an_exported_model_decodes_the_same_in_stock_espnet_without_this_package(
        self, finished
    ):
        folder, _ = finished
        if OPTIONS[folder.name] != BEAM:
            pytest.skip("stock ESPnet decodes by beam search")
        trained = experiment(folder, "train_otreg_seed1")
        subprocess.run(
            [
                *(sys.executable, "-m", "espnet_otreg.stages.export_stock"),
                *("--asr_exp", str(trained.relative_to(folder)), "--output", "exp/exported"),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        (decoded,) = trained.glob(f"*decode*/{DOMAINS[folder.name][0]}/text")
        expected = read_table(decoded)
        audio = read_table(folder / "dump/raw/org" / DOMAINS[folder.name][0] / "wav.scp")
        script = textwrap.dedent(
            """
            import sys
            sys.modules["espnet_otreg"] = None  # an import of it now fails
            try:
                import espnet_otreg
            except ImportError:
                pass
            else:
                raise SystemExit("the package is still there")
            from espnet2.bin.asr_inference import main
            main(sys.argv[1:])
            """
        )
        options = ["--asr_train_config", "exp/exported/config.yaml"]
        options += [
            "--asr_model_file",
            "exp/exported/model.pth",
            "--config",
            "conf/mini/decode.yaml",
        ]
        options += ["--data_path_and_name_and_type", "exp/wav.scp,speech,sound", "--ngpu", "0"]
        options += ["--output_dir", "exp/stock", "--maxlenratio", "0.2"]
        (folder / "exp/wav.scp").write_text("".join(f"{u} {p}\n" for u, p in audio.items()))
        stock = subprocess.run(
            [sys.executable, "-c", script, *options], cwd=folder, capture_output=True, text=True
        )
        assert stock.returncode == 0, stock.stderr[-3000:]
        assert read_table(folder / "exp/stock/1best_recog/text") == expected


# a class each, so that the recipes run on different workers (--dist loadscope)
class TestCovost2(EndToEnd):
    recipe = "covost2_otreg"


class TestFleurs(EndToEnd):
    recipe = "fleurs_otreg"
