// The browser's half of viewport.py: draws the newest frame, sends back what mouse, touch and keys did since the last.

const PACE = 30; // ms between frames at least: a clip that plays leaves the kernel time for sliders
const KEYS = {
  ArrowLeft: { turn: [-0.12, 0] }, ArrowRight: { turn: [0.12, 0] }, ArrowUp: { turn: [0, -0.08] },
  ArrowDown: { turn: [0, 0.08] }, "+": { zoom: 0.1 }, "=": { zoom: 0.1 }, "-": { zoom: -0.1 },
};
const SHIFTED = {
  ArrowLeft: { pan: [-0.04, 0] }, ArrowRight: { pan: [0.04, 0] }, ArrowUp: { pan: [0, -0.04] },
  ArrowDown: { pan: [0, 0.04] },
};
const LABEL = "Avatar. Drag or arrow keys: orbit. Shift and drag, shift and arrow keys, or two fingers: pan. " +
  "Wheel, pinch, plus and minus: zoom. Home: the whole body.";

// A slider beside the viewport that has the focus: arrow keys are its own, not the notebook's, and it has a name.
document.addEventListener("focusin", ({ target }) => {
  if (!target.matches?.(".lca-panel .noUi-handle")) return;
  target.dataset.lmSuppressShortcuts = "true";
  target.setAttribute("aria-label", target.closest(".widget-slider")?.querySelector("label")?.title ?? "");
});

function render({ model, el }) {
  const box = document.createElement("div");
  const canvas = document.createElement("canvas");
  const corner = document.createElement("span");
  box.className = "lca-viewport";
  corner.className = "lca-corner";
  canvas.width = canvas.height = 256;
  canvas.tabIndex = 0;
  canvas.dataset.lmSuppressShortcuts = "true"; // JupyterLab and Notebook 7 look for this on what has the focus
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", LABEL);
  corner.setAttribute("aria-hidden", "true");
  canvas.title = "drag: orbit · shift-drag: pan · wheel: zoom";
  box.append(canvas, corner);
  el.append(box);
  const paper = canvas.getContext("2d");

  // ---- moves, merged until the token is free
  let pending = null;
  let waiting = true; // a frame is on its way, or being drawn
  function merge({ turn, pan, zoom, pointer }) {
    pending ??= {};
    const sum = (a, b) => [(a?.[0] ?? 0) + b[0], (a?.[1] ?? 0) + b[1]];
    if (turn) pending.turn = sum(pending.turn, turn);
    if (pan) pending.pan = sum(pending.pan, pan);
    if (zoom) pending.zoom = (pending.zoom ?? 0) + zoom;
    if (pointer) pending.pointer = pointer;
    if (!waiting) send("moved");
  }
  function send(kind) {
    const moves = pending ?? {};
    pending = null;
    waiting = kind !== "drawn" || Object.keys(moves).length > 0;
    model.send({ kind, ...moves });
  }

  // ---- frames
  const times = [];
  let last = 0, told = 0, alive = true, timer = null, idle = null;
  function measure(now) {
    clearTimeout(idle);
    idle = setTimeout(() => (corner.textContent = ""), 1500); // a picture that rests has no rate
    while (times.length && now - times[0] > 2000) times.shift();
    if (times.length && now - times[times.length - 1] > 400) times.length = 0; // a pause is not slowness
    times.push(now);
    if (times.length < 5) return;
    const rate = (1000 * (times.length - 1)) / (now - times[0]);
    corner.textContent = `${rate.toFixed(0)} fps`;
    canvas.dataset.rate = rate.toFixed(2);
    if (now - told > 1000) {
      told = now;
      model.set("frames_per_second", Math.round(10 * rate) / 10);
      model.set("drawn", Number(canvas.dataset.serial));
      model.save_changes();
    }
  }
  async function paint(buffer) {
    const picture = await createImageBitmap(new Blob([buffer], { type: "image/jpeg" }));
    if (canvas.width !== picture.width) canvas.width = canvas.height = picture.width;
    paper.drawImage(picture, 0, 0);
    picture.close();
  }
  async function draw(about, buffer) {
    waiting = true;
    try {
      await paint(buffer);
      canvas.dataset.serial = about.serial;
      canvas.dataset.changes = about.changes;
      measure(performance.now());
    } finally {
      const rest = Math.max(0, PACE - (performance.now() - last));
      timer = setTimeout(() => {
        last = performance.now();
        if (alive) send("drawn");
      }, rest);
    }
  }
  function receive(content, buffers) {
    if (content.kind === "frame") draw(content, buffers[0]);
    if (content.kind === "problem") corner.textContent = content.text;
  }
  model.on("msg:custom", receive);

  // ---- mouse and touch
  const fingers = new Map();
  const place = (event) => [event.clientX, event.clientY];
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return { gap: Math.hypot(a[0] - b[0], a[1] - b[1]), middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] };
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    canvas.classList.add("lca-dragging");
    fingers.set(event.pointerId, place(event));
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const now = place(event), before = fingers.get(event.pointerId);
    const move = {};
    if (before) {
      const side = [(now[0] - before[0]) / width, (now[1] - before[1]) / height];
      if (fingers.size === 2) {
        const first = spread();
        fingers.set(event.pointerId, now);
        const second = spread();
        if (first.gap > 0 && second.gap > 0) move.zoom = Math.log(second.gap / first.gap);
        move.pan = [(second.middle[0] - first.middle[0]) / width, (second.middle[1] - first.middle[1]) / height];
      } else if (event.shiftKey || event.buttons & 6) move.pan = side;
      else move.turn = [3.6 * side[0], 2.4 * side[1]];
      fingers.set(event.pointerId, now);
    }
    if (model.get("follow") && fingers.size < 2) // a finger leads the eyes while it drags: it cannot hover
      move.pointer = [(2 * (now[0] - left)) / width - 1, 1 - (2 * (now[1] - top)) / height];
    if (Object.keys(move).length) merge(move);
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, (event) => {
      fingers.delete(event.pointerId);
      if (!fingers.size) canvas.classList.remove("lca-dragging");
    });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? 16 : 1);
    merge({ zoom: -0.0015 * Math.max(-200, Math.min(200, pixels)) });
  }, { passive: false });

  // ---- keys
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = (event.shiftKey && SHIFTED[event.key]) || KEYS[event.key];
    if (!move && event.key !== "Home") return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere, too, notebooks move between cells with arrow keys
    if (move) merge(move);
    else model.send({ kind: "reset" });
  });

  const resize = () => (box.style.width = `${model.get("width")}px`);
  model.on("change:width", resize);
  resize();
  const poster = model.get("poster");
  if (poster?.byteLength) paint(poster);
  send("hello");
  return () => {
    alive = false;
    clearTimeout(timer);
    clearTimeout(idle);
    model.off("msg:custom", receive);
    model.off("change:width", resize);
  };
}

export default { render };
