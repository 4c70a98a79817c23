// Draws a presentation: raster and posterior, rates, inhibition, classes. Plain canvas.

const INK = "#222222";
const AXIS = "#555555";
const GREY = "#999999";
const SETTLING = "#EFEFEF";
const SPIKES = "#0072B2"; // the event rung
const OTHERS = "#777777";
const MARK = { color: "#333333", width: 3 }; // the equations
const WIDE = { color: "#B8B8B8", width: 6 };
const THIN = { color: SPIKES, width: 1.8 };
const VISIBLE = 0.005; // smaller shares are drawn as nothing
// Okabe and Ito's colours; dashes tell them apart in grey.
const COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"];
const DASHES = [[], [7, 3], [2, 2], [9, 3, 2, 3]];
const FONT = '"DejaVu Sans", system-ui, sans-serif';
const LEFT = 122; // thumbnail and name of a population
const BARS = 250; // width of posterior and classes
const GAP = 34;
const LABELS = 34; // below a panel: ticks and their label
const N_ROWS = 12;
const SMALLEST_DOT = 1.2;

export function drawCharts(canvas, facts, shown) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  const panels = layout(width, height);
  drawRaster(c, panels.raster, facts, shown);
  drawPosterior(c, panels.posterior, shown);
  drawRates(c, panels.rates, facts, shown);
  drawInhibition(c, panels.inhibition, facts, shown);
  drawClasses(c, panels.classes, facts, shown);
}

function layout(width, height) {
  const x0 = LEFT;
  const x1 = width - BARS - GAP;
  const top = 20;
  const free = height - top - 2 * 26 - LABELS;
  const rows = Math.round(0.58 * free);
  const line = Math.round(0.21 * free);
  const ratesTop = top + rows + 26;
  const lastTop = ratesTop + line + 26;
  const bottom = lastTop + line;
  return {
    raster: { x0, x1, y0: top, y1: top + rows },
    posterior: { x0: width - BARS, x1: width - 10, y0: top, y1: top + rows },
    rates: { x0, x1, y0: ratesTop, y1: ratesTop + line },
    inhibition: { x0, x1, y0: lastTop, y1: bottom },
    classes: { x0: width - BARS, x1: width - 10, y0: ratesTop + 40, y1: bottom },
  };
}

function text(c, words, x, y, { align = "left", color = INK, size = 11, weight = "" } = {}) {
  c.font = `${weight} ${size}px ${FONT}`;
  c.textAlign = align;
  c.textBaseline = "middle";
  c.fillStyle = color;
  c.fillText(words, x, y);
}

function sideways(c, words, x, y) {
  c.save();
  c.translate(x, y);
  c.rotate(-Math.PI / 2);
  text(c, words, 0, 0, { align: "center" });
  c.restore();
}

function stroke(c, points, { color = AXIS, width = 1, dash = [] } = {}) {
  c.strokeStyle = color;
  c.lineWidth = width;
  c.setLineDash(dash);
  c.lineJoin = "round";
  c.beginPath();
  points.forEach(([x, y], i) => (i ? c.lineTo(x, y) : c.moveTo(x, y)));
  c.stroke();
  c.setLineDash([]);
}

// A step of 1, 2 or 5 times a power of ten that gives at most `most` intervals.
function tickStep(span, most) {
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9));
}

function ticks(low, high, most) {
  const step = tickStep(high - low, most);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    found.push(Number((i * step).toPrecision(6)));
  }
  return found;
}

function timeScale(panel, facts) {
  const steps = facts.settle_steps + facts.n_steps;
  const end = steps * facts.dt_ms;
  const scale = (ms) => panel.x0 + ((panel.x1 - panel.x0) * (ms + 0.5 * facts.dt_ms)) / end;
  return { end, settled: scale((facts.settle_steps - 0.5) * facts.dt_ms), x: scale };
}

function timeAxis(c, panel, facts, labelled) {
  const { x, end } = timeScale(panel, facts);
  for (const ms of ticks(0, end, 8)) {
    if (x(ms) > panel.x1) continue;
    stroke(c, [[x(ms), panel.y1], [x(ms), panel.y1 + 4]]);
    if (labelled) text(c, String(ms), x(ms), panel.y1 + 12, { align: "center", color: AXIS });
  }
  if (labelled) {
    const middle = (panel.x0 + panel.x1) / 2;
    text(c, "time from the onset of the drawing (ms)", middle, panel.y1 + 27, { align: "center" });
  }
}

function frame(c, panel) {
  stroke(c, [[panel.x0, panel.y0], [panel.x0, panel.y1], [panel.x1, panel.y1]]);
}

function settlingBand(c, panel, facts) {
  const { settled } = timeScale(panel, facts);
  c.fillStyle = SETTLING;
  c.fillRect(panel.x0, panel.y0, settled - panel.x0, panel.y1 - panel.y0);
  return settled;
}

function valueScale(panel, low, high) {
  return (value) => panel.y1 - ((panel.y1 - panel.y0) * (value - low)) / (high - low || 1);
}

function valueAxis(c, panel, low, high, label, most = 3) {
  const y = valueScale(panel, low, high);
  for (const value of ticks(low, high, most)) {
    stroke(c, [[panel.x0 - 4, y(value)], [panel.x0, y(value)]]);
    text(c, String(value).replace("-", "−"), panel.x0 - 7, y(value), { align: "right", color: AXIS });
  }
  sideways(c, label, panel.x0 - 52, (panel.y0 + panel.y1) / 2);
  return y;
}

function rowHeight(panel) {
  return (panel.y1 - panel.y0) / (N_ROWS + 1);
}

function drawRaster(c, panel, facts, shown) {
  const settled = settlingBand(c, panel, facts);
  if (settled - panel.x0 > 50) text(c, "settling", panel.x0 + 3, panel.y0 - 9, { color: AXIS });
  if (settled > panel.x0) text(c, "read", settled + 3, panel.y0 - 9, { color: AXIS });
  frame(c, panel);
  timeAxis(c, panel, facts, false);
  if (!shown) {
    const [x, y] = [(panel.x0 + panel.x1) / 2, (panel.y0 + panel.y1) / 2];
    const words = "Draw on the left, and populations of neurons compete for it here";
    text(c, words, x, y, { align: "center", size: 14, color: "#767676" });
    return;
  }
  const height = rowHeight(panel);
  const middle = (row) => panel.y0 + (row + 0.5) * height;
  shown.populations.forEach((unit, row) => nameRow(c, panel, facts, unit, row, height));
  const n = shown.populations.length;
  if (facts.n_units > n) {
    const words = `${facts.n_units - n} others`;
    text(c, words, panel.x0 - 6, middle(n), { align: "right", color: AXIS });
  }
  const { x } = timeScale(panel, facts);
  const named = shown.spikes.filter(([, row]) => row < n);
  const most = Math.max(1, ...named.map(([, , count]) => count));
  const between = x(facts.dt_ms) - x(0);
  const largest = Math.min(0.42 * height, Math.max(3, 0.55 * between)) ** 2;
  const area = Math.min(5, largest / most);
  const radius = (count) => Math.max(SMALLEST_DOT, Math.sqrt(Math.min(area * count, largest)));
  for (const [step, row, count] of shown.spikes) {
    c.fillStyle = COLORS[row] ?? OTHERS;
    c.beginPath();
    c.arc(x(step * facts.dt_ms), middle(row), radius(count), 0, 2 * Math.PI);
    c.fill();
  }
  text(c, "area: spikes in a step", panel.x1, panel.y0 - 9, { align: "right", color: AXIS });
}

function nameRow(c, panel, facts, unit, row, height) {
  const [imageHeight, imageWidth] = facts.image_shape;
  const side = height - 2;
  const scale = side / Math.max(imageHeight, imageWidth);
  const top = panel.y0 + row * height + 1;
  const right = panel.x0 - 6;
  c.imageSmoothingEnabled = true;
  c.imageSmoothingQuality = "high";
  const [w, h] = [imageWidth * scale, imageHeight * scale];
  c.drawImage(facts.field(unit), right - w, top + (side - h) / 2, w, h);
  c.strokeStyle = COLORS[row] ?? "#CCCCCC";
  c.lineWidth = row < COLORS.length ? 2 : 1;
  c.strokeRect(right - w, top + (side - h) / 2, w, h);
  const name = facts.classes ? `unit ${unit} (${facts.unit_classes[unit]})` : `unit ${unit}`;
  const color = COLORS[row] ? INK : AXIS;
  text(c, name, right - w - 6, top + side / 2, { align: "right", color });
}

// A row of entries [mark, words] above a panel; mark(x, y) draws 24 pixels.
function legend(c, x, y, entries) {
  let at = x;
  for (const [mark, words] of entries) {
    mark(at, y);
    text(c, words, at + 29, y);
    at += 29 + c.measureText(words).width + 20;
  }
}

function lineMark(c, look) {
  return (x, y) => stroke(c, [[x, y], [x + 24, y]], look);
}

function drawPosterior(c, panel, shown) {
  const bar = (x, y) => {
    c.fillStyle = SPIKES;
    c.fillRect(x + 4, y - 4, 20, 8);
  };
  const tick = (x, y) => stroke(c, [[x + 20, y - 6], [x + 20, y + 6]], MARK);
  legend(c, panel.x0 - 4, panel.y0 - 10, [[bar, "share of spikes"], [tick, "softmax"]]);
  frame(c, panel);
  const x = (share) => panel.x0 + share * (panel.x1 - panel.x0);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    stroke(c, [[x(share), panel.y1], [x(share), panel.y1 + 4]]);
    text(c, String(share), x(share), panel.y1 + 12, { align: "center", color: AXIS });
  }
  text(c, "posterior over units", (panel.x0 + panel.x1) / 2, panel.y1 + 27, { align: "center" });
  if (!shown) return;
  const height = rowHeight(panel);
  shown.spike_shares.forEach((share, row) => {
    const top = panel.y0 + row * height;
    c.fillStyle = COLORS[row] ?? OTHERS;
    c.fillRect(panel.x0, top + 0.2 * height, x(share) - panel.x0, 0.6 * height);
    const at = x(shown.softmax[row]);
    if (shown.softmax[row] >= VISIBLE) {
      stroke(c, [[at, top + 2], [at, top + height - 2]], MARK);
    }
    const end = Math.max(x(share), at) + 6;
    if (share >= VISIBLE && end < panel.x1 - 30) {
      text(c, `${(100 * share).toFixed(0)} %`, end, top + 0.5 * height, { color: AXIS });
    }
  });
  const words = `total variation ${shown.total_variation.toFixed(2)}`;
  text(c, words, panel.x1, panel.y1 - 12, { align: "right", color: AXIS });
}

function drawRates(c, panel, facts, shown) {
  settlingBand(c, panel, facts);
  frame(c, panel);
  timeAxis(c, panel, facts, false);
  const peak = shown ? Math.max(1, ...shown.rates_hz.flat()) : 100;
  const y = valueAxis(c, panel, 0, 1.08 * peak, "mean rate (Hz)");
  if (!shown) return;
  const { x } = timeScale(panel, facts);
  shown.rates_hz.forEach((rates, row) => {
    const points = rates.map((rate, step) => [x(step * facts.dt_ms), y(rate)]);
    stroke(c, points, { color: COLORS[row], width: 2, dash: DASHES[row] });
  });
  const entries = shown.rates_hz.map((_, row) => [
    lineMark(c, { color: COLORS[row], width: 2, dash: DASHES[row] }),
    `unit ${shown.populations[row]}`,
  ]);
  legend(c, panel.x0 + 8, panel.y0 - 10, entries);
}

function drawInhibition(c, panel, facts, shown) {
  settlingBand(c, panel, facts);
  frame(c, panel);
  timeAxis(c, panel, facts, true);
  let [low, high] = [0, 1];
  if (shown) {
    const all = [...shown.inhibition, ...shown.log_normalizer];
    [low, high] = [Math.min(...all), Math.max(...all)];
    const margin = Math.max(0.5, 0.08 * (high - low));
    [low, high] = [low - margin, high + margin];
  }
  const y = valueAxis(c, panel, low, high, "nats");
  const { x } = timeScale(panel, facts);
  const curve = (values) =>
    values.map((value, j) => [x((facts.settle_steps + j) * facts.dt_ms), y(value)]);
  const same = facts.inhibition === "exact" ? " (exact: the same)" : "";
  legend(c, panel.x0 + 8, panel.y0 - 10, [
    [lineMark(c, WIDE), "log Σ exp(u/τ + b), the normaliser"],
    [lineMark(c, THIN), `h, inhibition${same}`],
  ]);
  if (!shown) return;
  stroke(c, curve(shown.log_normalizer), WIDE);
  stroke(c, curve(shown.inhibition), THIN);
}

function drawClasses(c, panel, facts, shown) {
  const middle = (panel.x0 + panel.x1) / 2;
  if (!facts.classes) {
    const style = { align: "center", color: "#767676" };
    text(c, "Classes need labels:", middle, panel.y0 + 40, style);
    text(c, "start with --labels DATASET", middle, panel.y0 + 58, style);
    return;
  }
  frame(c, panel);
  const y = valueScale(panel, 0, 1);
  for (const value of [0, 0.5, 1]) {
    stroke(c, [[panel.x0 - 4, y(value)], [panel.x0, y(value)]]);
    text(c, String(value), panel.x0 - 7, y(value), { align: "right", color: AXIS });
  }
  const width = (panel.x1 - panel.x0) / facts.classes.length;
  facts.classes.forEach((name, i) => {
    const left = panel.x0 + i * width;
    text(c, name, left + width / 2, panel.y1 + 12, { align: "center" });
    if (!shown) return;
    c.fillStyle = SPIKES;
    const top = y(shown.class_from_spikes[i]);
    c.fillRect(left + 0.2 * width, top, 0.6 * width, panel.y1 - top);
    if (shown.class_from_softmax[i] < VISIBLE) return;
    const at = y(shown.class_from_softmax[i]);
    stroke(c, [[left + 0.05 * width, at], [left + 0.95 * width, at]], MARK);
  });
  text(c, "class, from the labels of units", middle, panel.y1 + 27, { align: "center" });
}
