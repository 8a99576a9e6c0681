import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.report.experiments import find_decoding, find_sets, group_experiments


def test_folders_that_differ_by_seed_and_hash_are_one_system(experiments):
    systems = group_experiments(experiments, None)
    assert [(system.name, len(system.folders)) for system in systems] == [("base", 1), ("ot", 2)]


def test_two_trainings_of_one_seed_are_not_taken_for_seeds():
    with pytest.raises(UserError, match="same system and seed"):
        group_experiments(["exp/asr_a_seed1_00000000", "exp/asr_a_seed1_11111111"], None)


def test_commas_join_seeds_as_elsewhere():
    systems = group_experiments(["exp/a,exp/b", "exp/c"], ["one", "two"])
    assert [(system.name, len(system.folders)) for system in systems] == [("one", 2), ("two", 1)]


def test_the_only_common_decoding_is_found_and_several_must_be_chosen_from(experiments, tmp_path):
    systems = group_experiments(experiments, None)
    assert find_decoding(systems, None) == "decode_x"
    assert find_sets(systems, "decode_x") == ["far_test", "near_test"]
    for folder in experiments:
        (tmp_path / folder / "decode_y").symlink_to(tmp_path / folder / "decode_x")
    with pytest.raises(UserError, match=r"decode_x, decode_y\n.*\nChoose by --decode_tag"):
        find_decoding(systems, None)


def test_an_experiment_without_scores_is_named_with_what_the_others_have(experiments, tmp_path):
    (tmp_path / "exp/asr_new_seed1_00000000").mkdir()
    systems = group_experiments([*experiments, "exp/asr_new_seed1_00000000"], None)
    with pytest.raises(UserError, match="asr_new_seed1_00000000: none"):
        find_decoding(systems, None)
