"""Recordings as Neo blocks, NIX and NWB files, and in Elephant's statistics."""

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

neo = pytest.importorskip("neo")

from softhebb_spiking import Recording, SpikingSoftHebb, __version__  # noqa: E402
from softhebb_spiking.neuro import load_neo, save_neo, spike_statistics  # noqa: E402
from softhebb_spiking.recording_parts import record_in_parts  # noqa: E402

N_SAMPLES, N_UNITS, N_FEATURES = 4, 3, 5
DIGITS = "ABCD"  # labels


def small_model(**changes: Any) -> SpikingSoftHebb:
    rng = np.random.default_rng(0)
    options: dict[str, Any] = {
        "temperature": 0.1,
        "n_steps": 8,
        "settle_steps": np.int64(4),  # as a grid of parameters gives it
        "dt_ms": 0.1,  # whose multiples are no exact floats
        "total_rate": 6.0,
        "random_state": 0,
    }
    log_prior = np.log([0.5, 0.3, 0.2])
    weights = rng.random((N_UNITS, N_FEATURES))
    return SpikingSoftHebb.from_weights(weights, log_prior, **(options | changes))


def samples(n_samples: int = N_SAMPLES) -> Any:
    return np.random.default_rng(1).random((n_samples, N_FEATURES)) + 0.1


@pytest.fixture(scope="module")
def recording() -> Recording:
    return small_model().record(samples())


def contents(block: Any) -> dict[str, Any]:
    """Everything a block says, as plain values that compare exactly."""
    return {
        "block": (block.name, dict(block.annotations), block.rec_datetime),
        "segments": [
            {
                "segment": (segment.name, segment.index, dict(segment.annotations)),
                "epochs": [
                    (
                        e.name,
                        e.times.magnitude.tolist(),
                        e.durations.magnitude.tolist(),
                        e.labels.tolist(),
                        str(e.units),
                    )
                    for e in segment.epochs
                ],
                "trains": [
                    {
                        "name": train.name,
                        "annotations": dict(train.annotations),
                        "frame": [
                            float(value.rescale("ms"))
                            for value in (train.t_start, train.t_stop, train.sampling_period)
                        ],
                        "units": str(train.units),
                        "times": train.magnitude.tolist(),
                    }
                    for train in segment.spiketrains
                ],
            }
            for segment in block.segments
        ],
    }


def structure(block: Any) -> list[Any]:
    """What a block says but for what differs from rung to rung: its name and the spike times."""
    found = contents(block)
    for segment in found["segments"]:
        for train in segment["trains"]:
            del train["times"]
    notes = {name: value for name, value in block.annotations.items() if name != "backend"}
    return [notes, found["segments"]]


def test_a_block_has_every_spike_as_often_as_it_fired(recording: Recording) -> None:
    block = recording.to_neo()
    rows: dict[str, list[tuple[int, int, int]]] = {"unit": [], "input": []}
    for m, segment in enumerate(block.segments):
        for train in segment.spiketrains:
            notes = train.annotations
            steps = np.rint(train.magnitude / 0.1).astype(int) - 1
            np.testing.assert_array_equal(train.magnitude, (steps + 1) * 0.1)
            rows[notes["kind"]] += [(m, int(step), notes["index"]) for step in steps]
            assert train.name == f"{notes['kind']} {notes['index']}"
    outputs = [tuple(row) for row in recording.output_spikes.tolist()]
    assert sorted(rows["unit"]) == outputs
    assert len(set(outputs)) < len(outputs)  # some populations did fire more than once in a step
    assert sorted(rows["input"]) == [tuple(row) for row in recording.input_spikes.tolist()]


def test_a_block_describes_network_stimulus_and_units(recording: Recording) -> None:
    block = recording.to_neo(labels=DIGITS, first_sample=10)
    expected = {"package": "softhebb-spiking", "version": __version__, "backend": "event"}
    assert block.annotations.items() >= expected.items()
    assert block.annotations.items() >= vars(recording.params).items()
    assert block.annotations["seed"] == recording.seed
    assert [segment.annotations["sample"] for segment in block.segments] == [10, 11, 12, 13]
    assert [segment.annotations["label"] for segment in block.segments] == list(DIGITS)
    segment = block.segments[2]
    (stimulus,) = segment.epochs
    assert stimulus.labels.tolist() == ["settling", "read"]
    assert stimulus.times.magnitude.tolist() == [0.0, 4 * 0.1]
    assert stimulus.durations.magnitude.tolist() == [4 * 0.1, 8 * 0.1]
    assert len(segment.spiketrains) == N_UNITS + N_FEATURES
    unit, an_input = segment.spiketrains[1], segment.spiketrains[N_UNITS]
    assert unit.annotations == {
        "kind": "unit",
        "index": 1,
        "population_size": 32,
        "prior": float(np.exp(recording.log_prior[1])),
        "temperature": 0.1,
    }
    assert an_input.annotations == {"kind": "input", "index": 0, "population_size": 1}
    assert [str(unit.units.dimensionality), float(unit.t_start), float(unit.t_stop)] == [
        "ms",
        0.0,
        12 * 0.1,
    ]
    assert float(unit.sampling_period.rescale("ms")) == pytest.approx(0.1, rel=1e-12)


def test_inputs_may_be_left_out_and_labels_must_fit(recording: Recording) -> None:
    block = recording.to_neo(inputs=False)
    assert {len(segment.spiketrains) for segment in block.segments} == {N_UNITS}
    assert "label" not in block.segments[0].annotations
    with pytest.raises(ValueError, match=r"labels must have one entry .* 4 samples, got 3"):
        recording.to_neo(labels=[1, 2, 3])


def test_without_settling_there_is_one_phase() -> None:
    block = small_model(settle_steps=0).record(samples(1)).to_neo()
    assert block.segments[0].epochs[0].labels.tolist() == ["read"]


@pytest.mark.parametrize("suffix", [".nix", ".nwb"])
@pytest.mark.parametrize("labels", [None, np.array([3, 1, 4, 1]), list(DIGITS)])
def test_a_file_gives_the_same_block_back(
    recording: Recording, tmp_path: Path, suffix: str, labels: Any
) -> None:
    pytest.importorskip({".nix": "nixio", ".nwb": "pynwb"}[suffix])
    block = recording.to_neo(labels=labels, inputs=labels is None, first_sample=7)
    if labels is None:
        block.rec_datetime = datetime(2026, 11, 27, 12, 30, tzinfo=timezone.utc)
    before = contents(block)
    path = tmp_path / f"run{suffix}"
    save_neo(block, path)
    assert contents(block) == before  # saving has left nothing in it
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert contents(load_neo(path)) == before


def test_what_is_added_to_a_block_is_kept_by_nix(recording: Recording, tmp_path: Path) -> None:
    pytest.importorskip("nixio")
    block = recording.to_neo(inputs=False)
    block.segments[1].annotate(animal="none")
    save_neo(block, tmp_path / "run.nix")
    assert load_neo(tmp_path / "run.nix").segments[1].annotations["animal"] == "none"


@pytest.fixture
def nwb_file(recording: Recording, tmp_path: Path) -> Path:
    pytest.importorskip("pynwb")
    save_neo(recording.to_neo(labels=DIGITS), tmp_path / "run.nwb")
    return tmp_path / "run.nwb"


def test_an_nwb_file_satisfies_the_validator_and_the_inspector(nwb_file: Path) -> None:
    import pynwb

    inspector = pytest.importorskip("nwbinspector")
    assert pynwb.validate(path=str(nwb_file)) == []
    messages = list(inspector.inspect_nwbfile(nwbfile_path=str(nwb_file)))
    # A simulation has no species, experimenter or institution; that is all it may complain of.
    assert {message.check_function_name for message in messages} == {
        "check_experimenter_exists",
        "check_institution",
        "check_keywords",
        "check_single_row",
        "check_subject_species_exists",
    }
    assert inspector.Importance.CRITICAL not in {message.importance for message in messages}


def test_trials_of_an_nwb_file_hold_their_own_spikes(recording: Recording, nwb_file: Path) -> None:
    import pynwb

    with pynwb.NWBHDF5IO(str(nwb_file), "r") as io:
        file = io.read()
        units, trials = file.units.to_dataframe(), file.trials.to_dataframe()
        epochs = file.epochs.to_dataframe()
        assert file.session_start_time == datetime(2000, 1, 1, tzinfo=timezone.utc)
    assert trials["label"].tolist() == list(DIGITS)
    assert epochs["tags"].tolist() == [["settling"], ["read"]] * N_SAMPLES
    half_step = 0.05e-3  # spikes stand at the ends of steps, as the phases do
    counts = [
        [
            ((times > trial.read_time + half_step) & (times < trial.stop_time + half_step)).sum()
            for times in units[units.kind == "unit"].spike_times
        ]
        for trial in trials.itertuples()
    ]
    np.testing.assert_array_equal(counts, recording.spike_counts)
    inside = sum(
        ((times >= trial.start_time) & (times < trial.stop_time + half_step)).sum()
        for times in units.spike_times
        for trial in trials.itertuples()
    )
    assert inside == len(recording.input_spikes) + len(recording.output_spikes)


def test_neo_opens_an_nwb_file_too(recording: Recording, nwb_file: Path) -> None:
    io = neo.io.NWBIO(str(nwb_file), "r")
    (block,) = io.read_all_blocks()
    io.close()
    trains = block.segments[0].spiketrains[:N_UNITS]
    assert sum(len(train) for train in trains) == len(recording.output_spikes)


@pytest.mark.parametrize("inputs", [True, False])
def test_parts_become_one_nwb_file(tmp_path: Path, inputs: bool) -> None:
    pynwb = pytest.importorskip("pynwb")
    expected = small_model().record(samples(7)).to_neo(labels="ABCDEFG", inputs=inputs)
    parts = record_in_parts(small_model(), samples(7), tmp_path / "parts", samples_per_part=3)
    path = tmp_path / "run.nwb"
    parts.to_nwb(path, labels="ABCDEFG", inputs=inputs)
    assert contents(load_neo(path)) == contents(expected)
    assert pynwb.validate(path=str(path)) == []
    with pytest.raises(ValueError, match="labels must have one entry"):
        parts.to_nwb(tmp_path / "other.nwb", labels="AB")
    (tmp_path / "parts" / "part-000001.npz").unlink()
    with pytest.raises(FileNotFoundError):
        parts.to_nwb(tmp_path / "other.nwb")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["parts", "run.nwb"]


def test_an_identifier_names_the_content(recording: Recording, tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    other = small_model(random_state=1).record(samples())
    identifiers = []
    for number, item in enumerate([recording, recording, other]):
        path = tmp_path / f"{number}.nwb"
        save_neo(item.to_neo(), path)
        with pynwb.NWBHDF5IO(str(path), "r") as io:
            identifiers.append(io.read().identifier)
    assert identifiers[0] == identifiers[1] != identifiers[2]


@pytest.mark.parametrize("name", ["run.nix", "run.nwb"])
def test_a_file_appears_whole_or_not_at_all(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pytest.importorskip("nixio")
    pynwb = pytest.importorskip("pynwb")
    block = recording.to_neo(inputs=False)
    save_neo(block, tmp_path / name)
    before, content = contents(block), (tmp_path / name).read_bytes()

    def disk_full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pynwb.NWBHDF5IO, "write", disk_full)
    monkeypatch.setattr(neo.io.NixIO, "_write_segment", disk_full)
    for target in (tmp_path / name, tmp_path / f"other-{name}"):
        with pytest.raises(OSError, match="No space left"):
            save_neo(block, target)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == content
    assert contents(block) == before


@pytest.mark.parametrize("suffix", [".nix", ".nwb"])
def test_files_that_are_no_recordings(recording: Recording, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("nixio")
    pytest.importorskip("pynwb")
    path = tmp_path / f"run{suffix}"
    with pytest.raises(FileNotFoundError, match=rf"no recording at .*run\{suffix}"):
        load_neo(path)
    save_neo(recording.to_neo(inputs=False), path)
    content = path.read_bytes()
    for damaged in (b"", b"not HDF5 at all", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"run\{suffix}"):
            load_neo(path)


def test_foreign_blocks_and_files(recording: Recording, tmp_path: Path) -> None:
    pytest.importorskip("nixio")
    pynwb = pytest.importorskip("pynwb")
    with pytest.raises(ValueError, match=r"path must end in \.nix or \.nwb, got .*run\.mat"):
        save_neo(recording.to_neo(), tmp_path / "run.mat")
    with pytest.raises(ValueError, match=r"'cat' is no recording of this package"):
        save_neo(neo.Block(name="cat"), tmp_path / "cat.nwb")
    with pytest.raises(OSError, match="nowhere"):
        save_neo(recording.to_neo(), tmp_path / "nowhere" / "run.nwb")
    with neo.io.NixIO(str(tmp_path / "cat.nix"), "ow") as io:
        io.write_block(neo.Block(name="cat"))
    start = datetime(2020, 1, 1, tzinfo=timezone.utc)
    foreign = pynwb.NWBFile(session_description="", identifier="cat", session_start_time=start)
    with pynwb.NWBHDF5IO(str(tmp_path / "cat.nwb"), "w") as io:
        io.write(foreign)
    for suffix in ("nix", "nwb"):
        with pytest.raises(ValueError, match=rf"cat\.{suffix} is .* no recording of this package"):
            load_neo(tmp_path / f"cat.{suffix}")


def test_spikes_between_steps_are_refused(recording: Recording, tmp_path: Path) -> None:
    block = recording.to_neo(inputs=False)
    train = next(train for train in block.segments[0].spiketrains if len(train))
    train[0] = 0.123 * train.units
    with pytest.raises(ValueError, match=r"multiples of dt_ms=0\.1"):
        save_neo(block, tmp_path / "run.nwb")


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("brian2", marks=pytest.mark.brian2),
        pytest.param("lava", marks=pytest.mark.lava),
    ],
)
def test_every_rung_gives_the_same_structure(
    recording: Recording, backend: str, tmp_path: Path
) -> None:
    pytest.importorskip(backend)
    found = small_model(backend=backend).record(samples(), probes=("drive", "inhibition", "psp"))
    found.save(tmp_path / "run.npz")
    block = Recording.load(tmp_path / "run.npz").to_neo()
    assert block.annotations["backend"] == backend
    assert structure(block) == structure(recording.to_neo())
    assert sum(len(train) for train in block.segments[0].spiketrains[:N_UNITS]) > 0


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("neo", lambda recording, block, path: recording.to_neo()),
        ("nixio", lambda recording, block, path: save_neo(block, path / "run.nix")),
        ("pynwb", lambda recording, block, path: save_neo(block, path / "run.nwb")),
        ("pynwb", lambda recording, block, path: load_neo(path / "run.nwb")),
        ("elephant", lambda recording, block, path: spike_statistics(block)),
    ],
)
def test_without_a_package_the_message_says_how_to_get_it(
    recording: Recording,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    call: Any,
) -> None:
    block = recording.to_neo()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'{package}.*pip install "softhebb-spiking\[neuro\]"'):
        call(recording, block, tmp_path)


# Statistics. All inputs fire in every step (max_probability=1, equal features), so that after the
# PSP has settled (40 time constants: e^-40) the drive is the same number in every step and for all
# units, and the softmax is the prior y. With `exact` inhibition each of the M neurons of population
# k then fires in each step with probability ρ_k = r y_k / M, independently: counts of steps are
# Binomial(M, ρ_k), independent over steps, samples and populations.
PRIOR = np.array([0.4, 0.3, 0.2, 0.1])
NEURONS, RATE, DT_MS = 8, 4.0, 0.5
RHO = RATE * PRIOR / NEURONS  # 0.2, 0.15, 0.1, 0.05
# Two-sided; a normal deviate exceeds it with probability 6.8e-6. The tests below make 13
# comparisons: fewer than 1 of 10 000 seeds fails them, and the seed is fixed.
K_SIGMA = 4.5


def stationary_block(n_samples: int, n_steps: int) -> Any:
    pytest.importorskip("elephant")
    model = SpikingSoftHebb.from_weights(
        np.ones((4, 2)),
        np.log(PRIOR),
        inhibition="exact",
        max_probability=1.0,
        population_size=NEURONS,
        total_rate=RATE,
        dt_ms=DT_MS,
        psp_tau_ms=DT_MS,
        settle_steps=40,
        n_steps=n_steps,
        random_state=3,
    )
    return model.record(np.ones((n_samples, 2))).to_neo()


@pytest.mark.statistical
def test_rates_fano_factors_and_synchrony_are_binomial() -> None:
    n_samples, n_steps = 2000, 20
    found = spike_statistics(stationary_block(n_samples, n_steps))
    seconds = n_samples * n_steps * DT_MS / 1000.0
    # The number of spikes is Binomial(M S, ρ) over all S steps.
    mean = NEURONS * RHO * n_samples * n_steps
    sigma = np.sqrt(mean * (1.0 - RHO))
    assert (np.abs(found.rate_hz * seconds - mean) < K_SIGMA * sigma).all()
    # Counts of samples are Binomial(20 M, ρ): variance over mean is 1 − ρ, not 1 as for Poisson.
    # (The elephant divides by n, hence (n − 1)/n.) Means of 8 and more are nearly normal, with a
    # sample variance that scatters by √(2/(n − 1)) of itself; the excess kurtosis of the counts,
    # below 0.12, adds less than 3 % to that.
    expected = (1.0 - RHO) * (n_samples - 1) / n_samples
    scatter = 1.03 * expected * np.sqrt(2.0 / (n_samples - 1))
    assert (np.abs(found.fano_factor - expected) < K_SIGMA * scatter).all()
    assert abs(1.0 - expected[0]) > K_SIGMA * scatter[0]  # Poisson counts would be noticed
    # Counts of two independent populations correlate by 0 ± 1/√S; six pairs, uncorrelated.
    assert abs(found.synchrony) < K_SIGMA / np.sqrt(6 * n_samples * n_steps)


@pytest.mark.statistical
def test_intervals_are_those_of_binomial_counts() -> None:
    n_steps = 40_000  # of one sample: no interval is cut off by the end of a short one
    found = spike_statistics(stationary_block(1, n_steps))
    # A step with n ≥ 1 spikes gives n − 1 intervals of zero and one of G steps to the next such
    # step. A step has spikes with probability q = 1 − (1 − ρ)^M, so G is geometric: E[G] = 1/q,
    # E[G²] = (2 − q)/q²; and E[n | n ≥ 1] = M ρ/q intervals come on each G. Hence
    #     CV² + 1 = E[n] E[G²] / E[G]² = M ρ (2 − q)/q,
    # 1 − ρ for a lone neuron (M = 1), but above 1 for these populations.
    q = 1.0 - (1.0 - RHO) ** NEURONS
    square = NEURONS * RHO * (2.0 - q) / q - 1.0
    assert (np.abs(square - 1.0) > 0.001).all()
    for cv, expected, rho, some in zip(found.isi_cv, square, RHO, q, strict=True):
        # Delta method: log(CV² + 1) is log of mean n plus log of mean G² minus 2 log of mean G,
        # over q S independent pairs (n, G).
        n, gap = np.arange(1, NEURONS + 1), np.arange(1, 4000)
        p_n, p_gap = stats.binom.pmf(n, NEURONS, rho) / some, stats.geom.pmf(gap, some)
        of_gap = gap**2 / (p_gap @ gap**2) - 2.0 * gap / (p_gap @ gap)
        variance = p_n @ (n / (p_n @ n)) ** 2 - 1.0 + p_gap @ of_gap**2 - (p_gap @ of_gap) ** 2
        sigma = (expected + 1.0) / (2.0 * np.sqrt(expected))
        sigma *= np.sqrt(variance / (some * n_steps))
        assert abs(cv - np.sqrt(expected)) < K_SIGMA * sigma


def test_inhibition_that_follows_spikes_correlates_populations() -> None:
    pytest.importorskip("elephant")
    # The feedback is one step late: all populations fire too much, then too little, together.
    model = small_model(n_steps=400, max_probability=1.0)
    block = model.record(np.ones((20, N_FEATURES))).to_neo()
    assert spike_statistics(block).synchrony > K_SIGMA / np.sqrt(3 * 400 * 20)


def test_one_sample_has_no_fano_factor(recording: Recording) -> None:
    one = spike_statistics(small_model().record(samples(1)).to_neo())
    assert np.isnan(one.fano_factor).all()
    assert (one.rate_hz > 0).any()
    assert np.isfinite(spike_statistics(recording.to_neo()).fano_factor).any()


def test_parts_are_written_as_nwb_alone(tmp_path: Path) -> None:
    parts = record_in_parts(small_model(), samples(2), tmp_path / "parts")
    with pytest.raises(ValueError, match=r"must end in \.nwb, got .*a\.nix"):
        parts.to_nwb(tmp_path / "a.nix")
    assert not (tmp_path / "a.nix").exists()


def test_statistics_of_silent_units_and_of_inputs() -> None:
    pytest.importorskip("elephant")
    spikes = [[0, 3, 0], [0, 4, 0], [0, 4, 0], [0, 6, 0], [1, 5, 0], [1, 8, 0]]  # step 3 settles
    model = small_model(dt_ms=0.5)
    block = model.record(samples(2), input_spikes=[[0, 5, 1]], output_spikes=spikes).to_neo()
    found = spike_statistics(block)
    np.testing.assert_allclose(found.rate_hz, [5 / 0.008, 0.0, 0.0], rtol=1e-12)
    intervals = np.array([0.0, 2.0, 3.0])  # steps
    np.testing.assert_allclose(found.isi_cv[0], intervals.std() / intervals.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.fano_factor[0], np.var([3, 2]) / 2.5, rtol=1e-12)
    assert np.isnan([*found.isi_cv[1:], *found.fano_factor[1:], found.synchrony]).all()
    of_inputs = spike_statistics(block, kind="input")
    np.testing.assert_allclose(of_inputs.rate_hz, [0, 125.0, 0, 0, 0], rtol=1e-12)
    without = model.record(samples(2)).to_neo(inputs=False)
    with pytest.raises(ValueError, match=r"no spike trains of kind 'input'.*inputs=True"):
        spike_statistics(without, kind="input")
    with pytest.raises(ValueError, match="kind must be one of 'unit', 'input'"):
        spike_statistics(block, kind="cat")
