"""What is said of a wrong profile: file, line, key, what was found, what is allowed, what was meant."""

from __future__ import annotations

import pytest

from horovod_lb.errors import MachineError
from horovod_lb.machines import load_machine, machine_names

COMPLETE = 'scheduler = "slurm"\nlauncher = "srun"\ncores_per_node = 8\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu_per_node = 4\n", r"m\.toml:4: gpu_per_node: unknown key; did you mean gpus_per_node\?"),
        (
            "[limits]\nqeued = 3\n",
            r"m\.toml:5: limits\.qeued: unknown key; allowed here: array_size, queued, "
            r"eligible; did you mean limits\.queued\?",
        ),
        ("frobnicate = 1\n", r"m\.toml:4: frobnicate: unknown key; docs/machines\.md lists the keys"),
        ('gpus_per_node = "4"\n', r"m\.toml:4: gpus_per_node: found '4'; a whole number is needed"),
        ("gpus_per_node = -1\n", r"gpus_per_node: found -1; a number >= 0 is needed"),
        ("account_required = 1\n", r"account_required: found 1; true or false is needed"),
        ('modules = "cuda"\n', r"modules: found 'cuda'; a list \[\.\.\.\] is needed"),
        ('modules = ["a; rm -rf /"]\n', r"modules\[0\]: found 'a; rm -rf /'; allowed are letters"),
        ('account = "$(id)"\n', r"account: found '\$\(id\)'; allowed are letters"),
        ('queue = "a\\nb"\n', r"queue: found 'a\\nb'; allowed are letters"),
        ('setup = ["a\\nb"]\n', r"setup\[0\]: found 'a\\nb'; allowed are a single line"),
        (
            '[environment]\n"1A" = "x"\n',
            r"m\.toml:5: environment\.1A: found '1A'; allowed are names of environ",
        ),
        ('signal = "USR3"\n', r"signal: found 'USR3'; allowed: USR2, USR1, URG, TERM; did you mean USR2\?"),
        ("limits = 3\n", r"limits: found 3; a table is needed"),
        ("requeue_exit_code = 256\n", r"requeue_exit_code: found 256; a number <= 125 is needed"),
        (
            "cores_per_rank = 5\nranks_per_node = 2\n",
            r"m\.toml:4: cores_per_rank: 2 ranks of 5 cores are 10, and "
            r"cores_per_node is 8; at most 4",
        ),
        ("ranks_per_node = 9\n", r"m\.toml:4: ranks_per_node: 9 ranks of 1 cores are 9"),
        (
            "gpus_per_node = 2\nranks_per_node = 4\n",
            r"m\.toml:5: ranks_per_node: there are 2 GPUs a node, one for "
            r"a rank; at most 2",
        ),
        (
            'directives = ["#SBATCH --qos=x"]\n',
            r"directives: '#SBATCH --qos=x' is no option; write it without #SBATCH",
        ),
        (
            'directives = ["--time=9:00"]\n',
            r"directives: '--time=9:00': every job script sets --time itself; use "
            r"the study's resources\.walltime",
        ),
        ('directives = ["-N4"]\n', r"directives: '-N4': every job script sets --nodes itself"),
        (
            'directives = ["--comment=a --nodes=9"]\n',
            r"directives: '--comment=a --nodes=9': every job script sets --nodes itself",
        ),
        (
            "directives = ['--comment=\"a']\n",
            r"""directives: '--comment="a' cannot be cut into words: no closing quotation""",
        ),
        ('launcher_options = ["x"]\n', r"launcher_options: 'x' is no option of srun"),
        (
            '[storage]\nnode_local = "/l"\n',
            r"m\.toml:4: storage\.stage_in: missing; node_local and stage_in go",
        ),
        ("[limits]\nqueued = 2\neligible = 3\n", r"m\.toml:6: limits\.eligible: 3 jobs cannot wait where 2"),
    ],
)
def test_a_wrong_value(places, text, message):
    places.write(places.study, "m", COMPLETE + text)
    with pytest.raises(MachineError, match=message):
        load_machine("m", study=places.study_file)


def test_what_follows_from_a_missing_key_is_not_missing_too(places):
    places.write(places.study, "m", 'scheduler = "slurm"\nlauncher = "srun"\n')
    with pytest.raises(MachineError) as caught:
        load_machine("m", study=places.study_file)
    assert "cores_per_node: missing" in str(caught.value)
    assert "cores_per_rank" not in str(caught.value)


@pytest.mark.parametrize(
    ("launcher", "scheduler", "message"),
    [
        (
            "srun",
            "lsf",
            r'm\.toml:2: launcher: srun needs scheduler = "slurm", and here it is \'lsf\'; allowed: '
            "jsrun, mpirun, horovodrun",
        ),
        (
            "jsrun",
            "slurm",
            r'launcher: jsrun needs scheduler = "lsf", and here it is \'slurm\'; allowed: srun, '
            "mpirun, horovodrun",
        ),
        ("srun", "none", r"allowed: mpirun, horovodrun"),
    ],
)
def test_launcher_and_scheduler(places, launcher, scheduler, message):
    places.write(
        places.study, "m", f'scheduler = "{scheduler}"\nlauncher = "{launcher}"\ncores_per_node = 8\n'
    )
    with pytest.raises(MachineError, match=message):
        load_machine("m", study=places.study_file)


def _bins(*bins):
    return "".join(f'[[walltimes]]\nnodes = {list(nodes)}\nlimit = "{limit}"\n' for *nodes, limit in bins)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_bins((1, 4, "1:00"), (4, 9, "2:00")), r"m\.toml:4: walltimes: the bins overlap at 4 to 4 nodes"),
        (_bins((1, 4, "1:00"), (6, 9, "2:00")), r"walltimes: the bins leave a gap at 5 to 5 nodes"),
        (_bins((2, 9, "1:00")), r"walltimes: the bins leave a gap at 1 to 1 nodes"),
        (_bins((6, 9, "2:00"), (1, 4, "1:00")), r"leave a gap at 5 to 5"),  # in whatever order they stand
        ("nodes = 20\n" + _bins((1, 9, "1:00")), r"walltimes: the bins end at 9 nodes, and nodes is 20"),
        (
            _bins((9, 1, "1:00")),
            r"m\.toml:5: walltimes\[0\]\.nodes: \[9, 1\] is no range; it is \[fewest, most\]",
        ),
        (
            _bins((1, 4, "1:00"), (5, 9, "90")),
            r"m\.toml:9: walltimes\[1\]\.limit: found '90'; '90' is no wall time",
        ),
        (
            _bins((1, 2, 3, "1:00")),
            r"walltimes\[0\]\.nodes: found \[1, 2, 3\]; a list of at most 2 is needed",
        ),
        (
            _bins((1, 4, "0:02")),
            r"grace_minutes: the warning of 2 minutes before the end leaves nothing of the 0:02",
        ),
        ("[[walltimes]]\nnodes = [1, 2]\n", r"m\.toml:4: walltimes\[0\]\.limit: missing"),
    ],
)
def test_wrong_bins(places, text, message):
    places.write(places.study, "m", COMPLETE + text)
    with pytest.raises(MachineError, match=message):
        load_machine("m", study=places.study_file)


def test_bins_in_any_order_are_fine(places):
    places.write(places.study, "m", COMPLETE + _bins((5, 9, "2:00"), (1, 4, "1:00")))
    machine = load_machine("m", study=places.study_file)
    assert [machine.bin_for(nodes).minutes for nodes in (1, 4, 5, 9)] == [60, 60, 120, 120]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = = 2\n", r"m\.toml:2: not valid TOML: .* \(column 5\)$"),
        ("a = [1,\n", r"m\.toml: not valid TOML: .*\(at the end of the file\)|m\.toml:2: not valid TOML"),
        ("a = 1\na = 2\n", r"m\.toml:2: not valid TOML: Cannot overwrite a value \(column 6\)"),
    ],
)
def test_no_toml(places, text, message):
    places.write(places.study, "m", text)
    with pytest.raises(MachineError, match=message):
        load_machine("m", study=places.study_file)


def test_no_utf_8(places):
    places.write(places.study, "m", "").write_bytes(b'a = 1\nb = "\xe9"\n')
    with pytest.raises(MachineError, match=r"m\.toml:2: byte 0xe9 is not UTF-8"):
        load_machine("m", study=places.study_file)


def test_all_errors_at_once(places):
    places.write(places.study, "m", 'scheduler = "slrum"\nlauncher = "srun"\nqeue = "x"\n')
    with pytest.raises(MachineError) as caught:
        load_machine("m", study=places.study_file)
    first, *lines = str(caught.value).splitlines()
    assert first == "3 errors in the machine profile m"
    said = "\n".join(lines)
    assert "m.toml:1: scheduler: found 'slrum'; allowed: slurm, lsf, none; did you mean slurm?" in said
    assert "cores_per_node: missing; it must be given" in said
    assert "m.toml:3: qeue: unknown key; did you mean queue?" in said


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"m": 'extends = "summitt"\n'},
            r"m\.toml:1: extends: there is no machine profile 'summitt'; .*did you "
            r"mean summit\?",
        ),
        (
            {"m": 'extends = "n"\n', "n": '\nextends = "m"\n'},
            r"n\.toml:2: extends: m extends n extends m; break",
        ),
        ({"summit": 'extends = "summit"\n'}, r"summit cannot extend itself; leave the line out"),
        ({"m": "extends = 3\n"}, r"m\.toml:1: extends: the name of another profile is needed"),
        ({"m": 'name = "n"\n'}, r"m\.toml:1: name: the profile is called m, as its file; leave it out"),
        (
            {"My_Machine": ""},
            r"My_Machine\.toml: a profile is called by its file's name, .*; rename the file",
        ),
    ],
)
def test_wrong_names(places, files, message):
    for name, text in files.items():
        places.write(places.study, name, text)
    with pytest.raises(MachineError, match=message):
        load_machine("summit" if "summit" in files else "m", study=places.study_file)


@pytest.mark.parametrize("name", ["nope", "../summit", "", "summit.toml"])
def test_there_is_no_such_profile(places, name):
    with pytest.raises(MachineError, match=r"there is no machine profile .*; there are .*summit.*NAME\.toml"):
        load_machine(name)


def test_a_wrong_profile_harms_no_other(places):
    places.write(places.study, "m", "= nonsense")
    assert "m" in machine_names(places.study_file)
    assert load_machine("summit", study=places.study_file).name == "summit"


@pytest.mark.parametrize(
    ("directives", "message"),
    [
        (["-alloc_flags smt1", "-alloc_flags gpumps"], "only one -alloc_flags line counts"),
        (["-R span[ptile=6]"], "-R is refused beside -nnodes"),
        (["-W 2:00"], "every job script sets -W itself"),
        (["-wa URG"], "use signal and grace_minutes"),
    ],
)
def test_lsf_directives(places, directives, message):
    with pytest.raises(MachineError, match=f"^--directives: directives: .*{message}"):
        load_machine("summit", overrides={"directives": directives})
    assert load_machine("summit", overrides={"directives": ["-csm y", "-R span[ptile=6]", "-U mine"]})
