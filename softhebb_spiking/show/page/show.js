// The page: sends drawings to the server, ten a second at most, and shows what comes back.

import { drawCharts } from "./charts.js";
import { Sketch, greyImage } from "./sketch.js";

const INTERVAL_MS = 100;
const find = (id) => document.getElementById(id);
const page = crypto.randomUUID();
const state = {
  facts: null, sketch: null, shown: null, draw: 0, answers: 0,
  lastSent: -Infinity, timer: 0, inFlight: false, waiting: false, urgent: false, changedAt: 0,
};

function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

// Ask for an answer to the drawing as it is now: at once if urgent, else when its time has come.
function ask(urgent) {
  state.changedAt = performance.now();
  if (state.inFlight) {
    state.waiting = true;
    state.urgent ||= urgent;
    return;
  }
  const wait = urgent ? 0 : Math.max(0, state.lastSent + INTERVAL_MS - performance.now());
  clearTimeout(state.timer);
  state.timer = setTimeout(send, wait);
}

async function send() {
  const { changedAt } = state;
  const [height, width] = state.facts.image_shape;
  const pixels = state.sketch.pixels(find("centre").checked);
  greyImage(pixels, height, width, find("seen"));
  if (!pixels.some((value) => value > 0)) {
    showNothing();
    document.body.dataset.ready = "yes";
    return;
  }
  find("hint").hidden = true;
  state.inFlight = true;
  state.lastSent = performance.now();
  const { answer, problem } = await post({ pixels, draw: state.draw, page });
  find("problem").textContent = problem ?? "";
  state.inFlight = false;
  if (answer && !answer.stale && !answer.empty) show(answer, changedAt);
  if (state.waiting) {
    const { urgent, changedAt: since } = state;
    state.waiting = state.urgent = false;
    ask(urgent);
    state.changedAt = since; // the wait counts
  }
}

// Return the answer of the server, or what to tell the person if there is none.
async function post(drawing) {
  let reply;
  try {
    reply = await fetch("present", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(drawing),
    });
  } catch {
    return { problem: "The server has ended: start it again, then reload this page." };
  }
  const content = await reply.json();
  return reply.ok ? { answer: content } : { problem: content.error };
}

function show(answer, changedAt) {
  state.shown = answer;
  say(answer);
  draw();
  const roundTrip = performance.now() - changedAt;
  state.answers++;
  const timing = find("timing");
  timing.textContent =
    `answered in ${roundTrip.toFixed(0)} ms, ${answer.server_ms.toFixed(0)} ms of it simulation`;
  timing.dataset.answers = state.answers;
  timing.dataset.roundTripMs = roundTrip;
  timing.dataset.serverMs = answer.server_ms;
}

function say(answer) {
  const { classes, unit_classes: names } = state.facts;
  const best = answer.populations[0];
  const share = `${Math.round(100 * answer.spike_shares[0])} % of the spikes`;
  if (classes) {
    const probabilities = answer.class_from_spikes;
    const winner = probabilities.indexOf(Math.max(...probabilities));
    find("answer").textContent = classes[winner];
    find("sure").textContent =
      `probability ${probabilities[winner].toFixed(2)}; unit ${best} ` +
      `(${names[best]}) has ${share}`;
  } else {
    find("answer").textContent = `unit ${best}`;
    find("sure").textContent = `has ${share}`;
  }
}

function showNothing() {
  state.shown = null;
  find("answer").textContent = "";
  find("sure").textContent = "Left: what the network sees";
  find("timing").textContent = "";
  find("hint").hidden = false;
  draw();
}

function draw() {
  drawCharts(find("charts"), state.facts, state.shown);
}

function clear() {
  state.sketch.clear();
  ask(true);
}

function describe(facts) {
  const parts = [
    `${facts.n_units} populations of ${facts.population_size} neurons`,
    `temperature τ = ${facts.temperature}`,
    `inhibition: ${facts.inhibition}`,
  ];
  if (facts.arithmetic === "fixed") parts.push("in integers");
  find("name").textContent = facts.name;
  find("facts").textContent = parts.join(" · ");
}

function offerSamples(facts) {
  const [height, width] = facts.image_shape;
  const size = height * width;
  const all = bytes(facts.samples);
  facts.sample_labels.forEach((label, i) => {
    const pixels = all.subarray(i * size, (i + 1) * size);
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `sample of class ${label}`);
    button.append(greyImage(pixels, height, width));
    button.addEventListener("click", () => {
      state.sketch.put(pixels);
      ask(true);
    });
    find("samples").append(button);
  });
}

async function start() {
  const facts = await (await fetch("facts")).json();
  const [height, width] = facts.image_shape;
  const all = bytes(facts.fields);
  facts.field = (unit) => {
    const pixels = all.subarray(unit * height * width, (unit + 1) * height * width);
    return greyImage(pixels, height, width);
  };
  state.facts = facts;
  describe(facts);
  offerSamples(facts);
  find("centre").checked = facts.centre;
  state.sketch = new Sketch(find("sketch"), find("cross"), facts.image_shape, ask);
  find("clear").addEventListener("click", clear);
  find("centre").addEventListener("change", () => ask(true));
  find("again").addEventListener("click", () => {
    state.draw++;
    ask(true);
  });
  new ResizeObserver(draw).observe(find("stage"));
  ask(true);
}

start();
