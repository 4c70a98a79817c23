"""The page of `show`: its data, its server over real HTTP, and what a person sees in a browser."""

from __future__ import annotations

import asyncio
import base64
import http.client
import importlib.resources
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from softhebb_spiking import SoftHebb, SpikingSoftHebb, UnitLabelClassifier, cli, load_dataset
from softhebb_spiking.show.presentation import (
    MAX_LINES,
    MAX_ROWS,
    Presentation,
    as_message,
    population_rates,
    present,
)
from softhebb_spiking.show.stage import (
    DrawingError,
    check_image_shape,
    drawing_from,
    network_to_show,
    prepare,
)

pytest.importorskip("tornado", reason="the page is served by tornado")
from softhebb_spiking.show import server

N_UNITS = 20
N_STEPS = 40
START = "from softhebb_spiking.cli import main; main()"
LIMIT_MS = 1000.0
CHROMIUM_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def model(digits):
    few_inputs = {"max_probability": 0.5, "psp_tau_ms": 20.0, "settle_steps": 20}
    learned = SpikingSoftHebb(N_UNITS, population_size=128, random_state=0, **few_inputs)
    return learned.fit(digits.X_train)


@pytest.fixture(scope="module")
def network(model):
    return network_to_show(model, n_steps=N_STEPS, seed=3)


@pytest.fixture(scope="module")
def shown(network, digits):
    return present(network, digits.X_test[0])


@pytest.fixture(scope="module")
def model_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("show") / "digits.safetensors"
    model.save(path)
    return path


class Served:
    """A running `softhebb-spiking show`."""

    def __init__(self, *arguments):
        command = [sys.executable, "-c", START, "show", *map(str, arguments), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        told = ""
        for line in self.process.stdout:
            told += line
            if match := re.search(r"ready: http://127\.0\.0\.1:(\d+)/", line):
                self.port = int(match[1])
                return
        self.process.wait(10)
        raise AssertionError(f"the server did not say that it is ready: {told}")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, **headers):
        """Return status, headers and body of an answer; headers given replace those of a page."""
        usual = {"Host": self.address}
        if method == "POST":
            usual |= {"Origin": f"http://{self.address}", "Content-Type": "application/json"}
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {name: value for name, value in (usual | headers).items() if value is not None}
        link.request(method, path, body, sent)
        answer = link.getresponse()
        content = answer.read()
        link.close()
        return answer.status, answer.headers, content

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(10)


@pytest.fixture(scope="module")
def served(model_file):
    running = Served(model_file, "--labels", "digits", "--steps", N_STEPS)
    yield running
    assert running.end() == 0


# What is shown


def test_a_presentation_has_the_shapes_of_its_network(shown):
    assert shown.spike_counts.shape == shown.softmax.shape == (N_UNITS,)
    assert shown.inhibition.shape == shown.log_normalizer.shape == (N_STEPS,)
    read = shown.output_spikes[shown.output_spikes[:, 0] >= shown.params.settle_steps, 1]
    assert (np.bincount(read, minlength=N_UNITS) == shown.spike_counts).all()


def test_both_posteriors_sum_to_one(shown):
    assert shown.spike_counts.sum() > 0
    for posterior in (shown.spike_shares, shown.softmax):
        assert (posterior >= 0).all()
        assert posterior.sum() == pytest.approx(1.0, abs=N_UNITS * np.finfo(float).eps)


def test_a_silent_layer_has_a_uniform_posterior(shown):
    silent = Presentation(**(vars(shown) | {"spike_counts": np.zeros(N_UNITS, np.int64)}))
    assert (silent.spike_shares == 1 / N_UNITS).all()


def test_the_same_seed_and_draw_give_the_same_answer_and_others_do_not(network, model, digits):
    sample = digits.X_test[0]
    first = as_message(present(network, sample))
    assert as_message(present(network, sample)) == first
    assert as_message(present(network, sample, draw=1))["spikes"] != first["spikes"]
    other = network_to_show(model, n_steps=N_STEPS, seed=4)
    assert as_message(present(other, sample))["spikes"] != first["spikes"]


def test_a_presentation_teaches_the_network_nothing(network, digits):
    before = network.weights_.copy()
    present(network, digits.X_test[1])
    assert (network.weights_ == before).all()


def test_exact_inhibition_is_the_normaliser(model, digits):
    exact = network_to_show(model, n_steps=N_STEPS, seed=0, inhibition="exact")
    shown = present(exact, digits.X_test[0])
    # The engine holds drives in single precision.
    error = N_UNITS * np.finfo(np.float32).eps
    np.testing.assert_allclose(shown.inhibition, shown.log_normalizer, rtol=error)


def test_populations_are_ranked_by_spikes(shown):
    counts = shown.spike_counts[shown.ranking]
    assert (np.diff(counts) <= 0).all()
    assert sorted(shown.ranking) == list(range(N_UNITS))


def test_smoothed_rates_keep_every_spike(shown):
    units = np.arange(N_UNITS)
    params = shown.params
    rates = population_rates(shown.output_spikes, units, params)
    assert rates.shape == (N_UNITS, params.presentation_steps)
    spikes = rates.sum(axis=1) * params.population_size * params.dt_ms * 1e-3
    fired = np.bincount(shown.output_spikes[:, 1], minlength=N_UNITS)
    np.testing.assert_allclose(spikes, fired, rtol=1e-12, atol=1e-12)


def test_the_message_holds_all_spikes_and_all_probability(shown, network, digits):
    reader = UnitLabelClassifier(network).fit(digits.X_train[:300], digits.y_train[:300])
    message = json.loads(json.dumps(as_message(shown, reader.class_given_unit_), allow_nan=False))
    assert message["populations"] == shown.ranking[:MAX_ROWS].tolist()
    assert len(message["rates_hz"]) == MAX_LINES
    rows = np.array(message["spikes"])
    assert rows[:, 2].sum() == len(shown.output_spikes)
    assert rows[:, 1].max() <= MAX_ROWS  # the last row is that of all others
    first = rows[rows[:, 1] == 0]
    assert first[:, 2].sum() == (shown.output_spikes[:, 1] == shown.ranking[0]).sum()
    rounding = 0.5e-5
    for name in ("spike_shares", "softmax", "class_from_spikes", "class_from_softmax"):
        values = message[name]
        assert sum(values) == pytest.approx(1.0, abs=rounding * len(values) + 1e-12), name


def test_a_network_smaller_than_the_rows_is_shown_whole(digits):
    small = SoftHebb(3, random_state=0).fit(digits.X_train[:100])
    message = as_message(present(network_to_show(small, n_steps=5, seed=0), digits.X_test[0]))
    assert sorted(message["populations"]) == [0, 1, 2]
    assert message["spike_shares"][3] == message["softmax"][3] == 0.0


def test_a_rate_model_is_shown_with_its_weights_and_temperature(digits):
    rate = SoftHebb(5, temperature=0.05, random_state=0).fit(digits.X_train[:100])
    shown = network_to_show(rate, n_steps=7, seed=0)
    assert (shown.weights_ == rate.weights_).all()
    assert (shown.log_prior_ == rate.log_prior_).all()
    assert (shown.temperature, shown.n_steps, shown.backend) == (0.05, 7, "event")
    stage = prepare(rate, name="rate", n_steps=7, seed=0)
    y = rate.predict_proba(digits.X_test[:1])[0]
    answer = stage.answer(digits.X_test[0])
    rows = answer["populations"]
    np.testing.assert_allclose(answer["softmax"][:5], y[rows], atol=1e-5)


def test_a_model_in_integers_is_shown_in_integers(model, digits):
    on_chip, _ = model.to_fixed()
    stage = prepare(on_chip, name="chip", n_steps=N_STEPS, seed=0)
    assert stage.facts()["arithmetic"] == "fixed"
    assert stage.answer(digits.X_test[0])["n_spikes"] > 0


def test_the_facts_hold_every_receptive_field_and_a_sample_of_each_class(model, digits):
    stage = prepare(model, name="m", n_steps=N_STEPS, seed=0, data=digits)
    facts = json.loads(json.dumps(stage.facts(), allow_nan=False))
    fields = np.frombuffer(base64.b64decode(facts["fields"]), np.uint8).reshape(N_UNITS, 64)
    assert (fields.max(axis=1) == 255).all()
    positive = np.maximum(model.weights_, 0)
    expected = 255 * positive / positive.max(axis=1, keepdims=True)
    assert np.abs(fields - expected).max() <= 0.5
    samples = np.frombuffer(base64.b64decode(facts["samples"]), np.uint8).reshape(-1, 64)
    assert facts["sample_labels"] == list(range(10))
    assert len(samples) == 10
    assert facts["classes"] == [str(digit) for digit in range(10)]
    assert set(facts["unit_classes"]) <= set(facts["classes"])
    assert facts["centre"] is False  # only of MNIST's size


def test_an_empty_drawing_is_no_error(model):
    stage = prepare(model, name="m", n_steps=N_STEPS, seed=0)
    assert stage.answer(np.zeros(64)) == {"empty": True}


@pytest.mark.parametrize(
    ("n_features", "given", "fragment"),
    [
        (50, None, "no square image; name its height and width with --shape H,W"),
        (64, (4, 4), "shape 4,4 has 16 pixels, the model 64 features"),
        (1, None, "cannot be drawn"),
        (300, (1, 300), "cannot be drawn"),
    ],
)
def test_features_that_are_no_image_are_refused(n_features, given, fragment):
    with pytest.raises(ValueError, match=re.escape(fragment)):
        check_image_shape(n_features, given)


def test_a_shape_that_fits_is_taken():
    assert check_image_shape(48, (6, 8)) == (6, 8)
    assert check_image_shape(784, None) == (28, 28)


BAD_DRAWINGS = {
    "no object": ([1, 2], "a drawing is an object"),
    "no pixels": ({}, "a drawing is an object"),
    "too few": ({"pixels": [1] * 63}, "a list of 64 numbers"),
    "nested": ({"pixels": [[1] * 8] * 8}, "a list of 64 numbers"),
    "words": ({"pixels": ["1"] * 64}, "a list of 64 numbers"),
    "truths": ({"pixels": [True] * 64}, "a list of 64 numbers"),
    "nothings": ({"pixels": [None] * 64}, "a list of 64 numbers"),
    "NaN": ({"pixels": [float("nan")] * 64}, "without NaN"),
    "infinity": ({"pixels": [float("inf")] * 64}, "without NaN or infinity"),
    "negative": ({"pixels": [-1] + [1] * 63}, "from 0 to 255"),
    "too large": ({"pixels": [256] * 64}, "from 0 to 255"),
    "huge": ({"pixels": [10**400] * 64}, "too large"),
    "bad draw": ({"pixels": [1] * 64, "draw": -1}, "draw must be an integer"),
    "half a draw": ({"pixels": [1] * 64, "draw": 0.5}, "draw must be an integer"),
}


@pytest.mark.parametrize(("message", "fragment"), BAD_DRAWINGS.values(), ids=BAD_DRAWINGS)
def test_what_is_no_drawing_is_refused(message, fragment):
    with pytest.raises(DrawingError, match=re.escape(fragment)):
        drawing_from(message, 64)


# One at a time, the newest first


def test_one_presentation_at_a_time_and_only_the_newest_of_a_page():
    together, most, done = 0, 0, []
    lock = threading.Lock()
    release = threading.Event()

    def answer(name):
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        release.wait(10)
        with lock:
            together -= 1
        done.append(name)
        return {"name": name}

    async def ask():
        desk = server.Desk(answer)
        pages = ["a", "a", "a", "b"]
        asked = [asyncio.create_task(desk.present(p, f"{p}{i}")) for i, p in enumerate(pages)]
        while not together:
            await asyncio.sleep(0.001)
        asyncio.get_running_loop().call_later(0.02, release.set)
        found = await asyncio.gather(*asked)
        desk.close()
        return found, desk

    found, desk = asyncio.run(ask())
    assert most == 1
    assert found == [{"name": "a0"}, None, {"name": "a2"}, {"name": "b3"}]
    assert done == ["a0", "a2", "b3"]
    assert desk._newest == {}


def test_an_answer_that_fails_does_not_block_the_next():
    def answer(fails):
        if fails:
            raise RuntimeError("broken")
        return {"fine": True}

    async def ask():
        desk = server.Desk(answer)
        with pytest.raises(RuntimeError, match="broken"):
            await desk.present("page", True)
        found = await desk.present("page", False)
        desk.close()
        return found

    assert asyncio.run(ask()) == {"fine": True}


# Over HTTP


def drawing_of(digits, index, **others):
    return json.dumps({"pixels": (255 * digits.X_test[index]).tolist(), **others})


def test_a_drawing_is_answered(served, digits):
    status, headers, body = served.ask("POST", "/present", drawing_of(digits, 0))
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=UTF-8")
    answer = json.loads(body)
    assert len(answer["inhibition"]) == N_STEPS
    again = json.loads(served.ask("POST", "/present", drawing_of(digits, 0))[2])
    assert answer.pop("server_ms") > 0 < again.pop("server_ms")
    assert again == answer


def test_an_empty_drawing_gets_a_hint_not_an_error(served):
    status, _, body = served.ask("POST", "/present", json.dumps({"pixels": [0] * 64}))
    assert (status, json.loads(body)) == (200, {"empty": True})


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "[::1]:{port}"]
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/facts"), ("POST", "/present")]
)
def test_a_name_of_another_site_is_refused(served, host, method, path):
    status, _, body = served.ask(method, path, Host=host.format(port=served.port))
    assert status == 403
    assert "Host must be one of" in json.loads(body)["error"]


def test_localhost_is_a_name_of_this_server(served):
    assert served.ask("GET", "/", Host=f"localhost:{served.port}")[0] == 200


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1:1"],
)
def test_a_drawing_from_another_origin_is_refused(served, digits, origin):
    given = None if origin is None else origin.format(port=served.port)
    status, _, body = served.ask("POST", "/present", drawing_of(digits, 0), Origin=given)
    assert (status, json.loads(body)) == (403, {"error": "Origin must be this page."})


def test_a_read_from_another_origin_is_refused(served):
    assert served.ask("GET", "/facts", Origin="http://evil.example")[0] == 403


def test_no_other_site_is_let_in_and_nothing_comes_from_elsewhere(served):
    for path in ("/", "/facts", "/nothing"):
        _, headers, _ = served.ask("GET", path)
        assert "Access-Control-Allow-Origin" not in headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert not re.search(r"https?:|\*|data:", policy)
    folder = importlib.resources.files("softhebb_spiking.show") / "page"
    names = {file.name for file in folder.iterdir()}
    assert names == set(server.CONTENT_TYPES)
    for name in names:
        text = (folder / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|style=|onclick=", text), name


def test_bodies_that_are_too_large_are_refused(served):
    for size in (100_000, 900_000):
        status, _, body = served.ask("POST", "/present", b"[" + b" " * size)
        assert status == 413
        assert "at most" in json.loads(body)["error"]
    # Announced only: it is refused before anything of it is read.
    status, _, _ = served.ask("POST", "/present", **{"Content-Length": str(10**10)})
    assert status == 413


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        ("[" * 2000, "not JSON"),
        ('{"pixels": [1, 2]}', "a list of 64 numbers"),
        (json.dumps({"pixels": [float("nan")] * 64}), "without NaN"),
        (json.dumps({"pixels": [1] * 64, "page": "p" * 100}), "page must be a string"),
    ],
)
def test_what_is_no_drawing_is_answered_by_400_and_a_message(served, body, fragment):
    status, _, answer = served.ask("POST", "/present", body)
    assert status == 400
    assert fragment in json.loads(answer)["error"]


def test_unknown_pages_and_methods_are_refused(served):
    for path in ("/nothing", "/../show.js", "/page/index.html", "/%2e%2e/stage.py"):
        assert served.ask("GET", path)[0] == 404
    assert served.ask("GET", "/present")[0] == 405
    assert served.ask("POST", "/facts", "{}")[0] == 405


def test_only_this_machine_is_listened_to(served):
    with server.claim_port(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
    # Another address of the same machine.
    with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
        socket.create_connection(("127.0.0.2", served.port), timeout=2).close()


def test_the_hundred_and_first_connection_is_ended_and_room_comes_back(served):
    """More would take the file descriptors of the process, which then accepts for ever."""
    held = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(100)]
    try:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", served.port), timeout=10) as late:
                assert late.recv(1) == b""
    finally:
        for one in held:
            one.close()
    deadline = time.monotonic() + 10.0
    while True:
        try:
            assert served.ask("GET", "/facts")[0] == 200
            return
        except (ConnectionError, http.client.HTTPException):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_with_a_connection_open(model_file, number):
    running = Served(model_file, "--steps", 5)
    link = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    link.request("GET", "/")
    link.getresponse().read()  # and the connection stays
    assert running.end(number) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port), timeout=2)
    link.close()


# The command


def run_command(monkeypatch, capsys, *arguments):
    """Return the exit status and the line on stderr."""
    monkeypatch.setattr(sys, "argv", ["softhebb-spiking", "show", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return ended.value.code, lines[0]


def test_a_port_that_is_taken_is_told_at_once(monkeypatch, capsys, model_file):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, line = run_command(monkeypatch, capsys, model_file, "--port", port)
    assert status == 2
    assert f"port {port} is taken (Address already in use)" in line
    assert "choose another with --port, or --port 0 for any free one" in line


def test_what_cannot_be_shown_is_one_line(monkeypatch, capsys, model_file, tmp_path, digits):
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no model", encoding="utf-8")
    tabular = tmp_path / "tabular.safetensors"
    SoftHebb(3, random_state=0).fit(digits.X_train[:50, :50]).save(tabular)
    cases = [
        ([wrong], "is not a safetensors file"),
        ([tmp_path / "none"], "no model file at"),
        ([tabular], "--shape H,W"),
        ([tabular, "--labels", "digits"], "name the data set that the model was trained on"),
        ([model_file, "--shape", "8x8"], "shape must be H,W"),
        ([model_file, "--labels", "letters"], "name must be one of"),
        ([model_file, "--steps", "0"], "steps must be an integer >= 1"),
        ([model_file, "--port", "70000"], "port must be an integer in [0, 65535]"),
        ([model_file, "--inhibition", "none"], "inhibition must be one of"),
    ]
    for arguments, fragment in cases:
        given = arguments if "--port" in arguments else [*arguments, "--port", 0]
        status, line = run_command(monkeypatch, capsys, *given)
        assert status == 2
        assert fragment in line


def test_without_tornado_it_says_what_to_install(monkeypatch, capsys, model_file):
    for name in [name for name in sys.modules if name.split(".")[0] == "tornado"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "softhebb_spiking.show.server")
    monkeypatch.setitem(sys.modules, "tornado", None)
    status, line = run_command(monkeypatch, capsys, model_file)
    assert status == 2
    assert 'pip install "softhebb-spiking[show]"' in line


# In a browser


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="browser tests need playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("browser tests need chromium on the PATH")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser, served):
    """The page, ready; no error may be on its console at the end."""
    opened = browser.new_page(viewport={"width": 1280, "height": 660})
    errors = []
    opened.on("console", lambda one: errors.append(one.text) if one.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", lambda one: errors.append(one.url) if served.address not in one.url else 0)
    opened.goto(f"http://{served.address}/")
    opened.wait_for_selector("body[data-ready]")
    yield opened
    opened.close()
    assert errors == []


def answers(page):
    return int(page.evaluate("document.getElementById('timing').dataset.answers || 0"))


def draw(page, points):
    """Draw a stroke with the mouse; return the posterior that comes after it."""
    box = page.locator("#sketch").bounding_box()
    before = answers(page)
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()
    return after(page, before)


def after(page, before):
    """Wait until an answer newer than `before` has come and no other is on its way."""
    page.wait_for_function(
        "n => Number(document.getElementById('timing').dataset.answers || 0) > n", arg=before
    )
    while True:
        seen = answers(page)
        time.sleep(0.25)
        if answers(page) == seen:
            return page.inner_text("#sure"), page.evaluate(
                "document.getElementById('charts').toDataURL()"
            )


def test_strokes_change_the_posterior_and_name_a_class(page):
    assert page.is_visible("#hint")
    assert page.inner_text("#answer") == ""
    first = draw(page, [(0.5, 0.05), (0.5, 0.95)])
    assert page.inner_text("#answer") in set("0123456789")
    assert not page.is_visible("#hint")
    second = draw(page, [(0.15, 0.1), (0.15, 0.9), (0.85, 0.9), (0.85, 0.1), (0.15, 0.1)])
    assert first[0] != second[0]
    assert first[1] != second[1]
    taken = float(page.evaluate("document.getElementById('timing').dataset.roundTripMs"))
    print(f"round trip: {taken:.0f} ms")  # noqa: T201
    assert taken < LIMIT_MS


def test_clear_brings_the_hint_back_and_samples_can_be_clicked(page, served):
    page.click("#samples button >> nth=3")
    seen = after(page, 0)
    page.click("#again")  # other spikes of the same drawing
    assert after(page, answers(page) - 1)[1] != seen[1]
    page.click("#clear")
    page.wait_for_selector("#hint:visible")
    assert page.inner_text("#answer") == ""


def test_one_can_draw_with_the_keyboard(page):
    page.focus("#sketch")
    page.keyboard.press("Space")
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    after(page, 0)
    assert page.inner_text("#answer") != ""
    page.keyboard.press("Delete")
    page.wait_for_selector("#hint:visible")


def test_a_sample_reaches_the_network_as_it_is(page, served):
    """Not drawn upon, it is the image of the data set, pixel by pixel, and not centred."""
    page.check("#centre")
    with page.expect_request("**/present") as sent:
        page.click("#samples button >> nth=7")
    facts = json.loads(served.ask("GET", "/facts")[2])
    images = np.frombuffer(base64.b64decode(facts["samples"]), np.uint8).reshape(-1, 64)
    assert json.loads(sent.value.post_data)["pixels"] == images[7].tolist()


def test_centring_puts_the_middle_of_a_drawing_in_the_middle(page):
    page.check("#centre")
    with page.expect_request("**/present"):
        draw(page, [(0.1, 0.1), (0.1, 0.3)])
    with page.expect_request("**/present") as sent:
        page.click("#again")
    image = np.reshape(json.loads(sent.value.post_data)["pixels"], (8, 8))
    middle = (image.sum(axis=1) @ np.arange(8) / image.sum(), image.sum(axis=0) @ np.arange(8))
    # Moved by whole pixels: half a pixel from pixel 4 at most, and ink rounded to bytes.
    assert abs(middle[0] - 4) <= 0.5 + 0.01
    assert abs(middle[1] / image.sum() - 4) <= 0.5 + 0.01


def test_all_fits_on_the_screen_of_a_laptop(page):
    heights = page.evaluate("[document.documentElement.scrollHeight, window.innerHeight]")
    assert heights[0] <= heights[1]
