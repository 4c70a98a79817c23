// The drawing area: pen, keyboard, and the way from ink to the pixels of the network.

const LONG_SIDE = 280;
const PEN = 0.09; // of the long side, as thick as MNIST's strokes
const BOX = 20 / 28; // MNIST fits digits into 20 of 28 pixels
const MOST_MAGNIFIED = 2;
const INK = 16; // fainter is paper

export class Sketch {
  // changed(done): called during a stroke, and with done = true after it.
  constructor(canvas, cross, [height, width], changed) {
    this.canvas = canvas;
    this.cross = cross;
    this.height = height;
    this.width = width;
    this.changed = changed;
    const scale = LONG_SIDE / Math.max(height, width);
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    this.pen = LONG_SIDE * Math.max(PEN, 1 / Math.max(height, width));
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.context.lineCap = this.context.lineJoin = "round";
    this.cursor = [canvas.width / 2, canvas.height / 2];
    this.last = null; // end of the stroke that is being drawn
    this.keyDown = false;
    this.clear();
    this.listen();
  }

  clear() {
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.sample = null;
    this.last = null;
    this.liftKey();
  }

  // Show an image of the data set; as long as nothing is drawn on it, its pixels are exact.
  put(pixels) {
    this.clear();
    this.sample = pixels;
    this.context.imageSmoothingEnabled = false;
    const image = greyImage(pixels, this.height, this.width);
    this.context.drawImage(image, 0, 0, this.canvas.width, this.canvas.height);
  }

  pixels(centre) {
    if (this.sample) return Array.from(this.sample);
    const { width, height } = this.canvas;
    const ink = this.ink();
    if (!centre) {
      return shrink(ink, width, [0, 0, width, height], this.width, this.height).map(Math.round);
    }
    return this.centred(ink);
  }

  // As MNIST was made: the inked part is scaled into the box, its centre of mass put in the middle.
  centred(ink) {
    const { width, height } = this.canvas;
    const out = new Array(this.height * this.width).fill(0);
    const part = inkedPart(ink, width, height);
    if (!part) return out;
    const [, , partWidth, partHeight] = part;
    const scale = Math.min(
      (BOX * this.width) / partWidth,
      (BOX * this.height) / partHeight,
      (MOST_MAGNIFIED * this.width) / width,
    );
    const w = Math.max(1, Math.round(partWidth * scale));
    const h = Math.max(1, Math.round(partHeight * scale));
    const small = shrink(ink, width, part, w, h);
    const [x, y] = centreOfMass(small, w, h);
    const left = Math.round(this.width / 2 - x);
    const top = Math.round(this.height / 2 - y);
    for (let row = 0; row < h; row++) {
      for (let column = 0; column < w; column++) {
        const [r, c] = [row + top, column + left];
        if (r < 0 || r >= this.height || c < 0 || c >= this.width) continue;
        out[r * this.width + c] = Math.round(small[row * w + column]);
      }
    }
    return out;
  }

  ink() {
    const { width, height } = this.canvas;
    const colors = this.context.getImageData(0, 0, width, height).data;
    const ink = new Uint8Array(width * height);
    for (let i = 0; i < ink.length; i++) ink[i] = 255 - colors[4 * i];
    return ink;
  }

  line(from, to) {
    this.sample = null;
    const c = this.context;
    c.strokeStyle = "#000";
    c.lineWidth = this.pen;
    c.beginPath();
    c.moveTo(...from);
    c.lineTo(...to);
    c.stroke();
  }

  listen() {
    const canvas = this.canvas;
    const at = (event) => [
      (event.offsetX * canvas.width) / canvas.clientWidth,
      (event.offsetY * canvas.height) / canvas.clientHeight,
    ];
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      canvas.setPointerCapture(event.pointerId);
      this.liftKey();
      this.last = at(event);
      this.line(this.last, this.last);
      this.changed(false);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.last || !event.isPrimary) return;
      const point = at(event);
      this.line(this.last, point);
      this.last = point;
      this.changed(false);
    });
    const up = (event) => {
      if (!this.last || !event.isPrimary) return;
      this.last = null;
      this.changed(true);
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.liftKey());
  }

  key(event) {
    const step = LONG_SIDE / 28;
    const moves = {
      ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step],
    };
    if (event.key in moves) {
      const [dx, dy] = moves[event.key];
      const from = this.cursor;
      this.cursor = [
        Math.min(this.canvas.width, Math.max(0, from[0] + dx)),
        Math.min(this.canvas.height, Math.max(0, from[1] + dy)),
      ];
      if (this.keyDown) this.line(from, this.cursor);
      if (this.keyDown) this.changed(false);
    } else if (event.key === " ") {
      this.keyDown = !this.keyDown;
      if (this.keyDown) this.line(this.cursor, this.cursor);
      this.changed(!this.keyDown);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
      this.changed(true);
    } else {
      return;
    }
    event.preventDefault();
    this.showCross(true);
  }

  liftKey() {
    this.keyDown = false;
    this.showCross(false);
  }

  showCross(visible) {
    this.cross.hidden = !visible;
    this.cross.className = this.keyDown ? "down" : "";
    this.cross.style.left = `${(this.cursor[0] / this.canvas.width) * this.canvas.clientWidth}px`;
    this.cross.style.top = `${(this.cursor[1] / this.canvas.height) * this.canvas.clientHeight}px`;
  }
}

// Mean ink of a part [left, top, width, height] in each cell of a w × h grid.
function shrink(ink, stride, [left, top, width, height], w, h) {
  const out = new Array(w * h);
  for (let row = 0; row < h; row++) {
    const y0 = top + Math.floor((row * height) / h);
    const y1 = Math.max(y0 + 1, top + Math.floor(((row + 1) * height) / h));
    for (let column = 0; column < w; column++) {
      const x0 = left + Math.floor((column * width) / w);
      const x1 = Math.max(x0 + 1, left + Math.floor(((column + 1) * width) / w));
      let sum = 0;
      for (let y = y0; y < y1; y++) {
        for (let x = x0; x < x1; x++) sum += ink[y * stride + x];
      }
      out[row * w + column] = sum / ((y1 - y0) * (x1 - x0));
    }
  }
  return out;
}

function inkedPart(ink, width, height) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (ink[y * width + x] < INK) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = y;
    }
  }
  return right < 0 ? null : [left, top, right - left + 1, bottom - top + 1];
}

// In pixels counted from 0. The mean digit of MNIST has it at pixel 14 of 28, rows and columns.
function centreOfMass(values, width, height) {
  let [mass, x, y] = [0, 0, 0];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const value = values[row * width + column];
      mass += value;
      x += value * column;
      y += value * row;
    }
  }
  return [x / mass, y / mass];
}

// A canvas of an image's own size, dark where values (0 to 255) are large.
export function greyImage(values, height, width, canvas = document.createElement("canvas")) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    image.data.fill(255 - values[i], 4 * i, 4 * i + 3);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
