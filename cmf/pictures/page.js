"use strict";
{
  const data = JSON.parse(document.getElementById("lineage").textContent);
  const stage = document.getElementById("stage");
  const panel = document.getElementById("panel");
  const svg = stage.querySelector("svg");
  const whole = { width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height };
  const found = (selector) => new Map([...svg.querySelectorAll(selector)].map((one) => [one.dataset.key, one]));
  const cards = found(".card");
  const wires = found(".wire");
  const nodes = new Map(data.nodes.map((node) => [node.key, node]));

  // ---- pan and zoom: the view is what part of the drawing is seen, at `scale` pixels a unit

  const view = { x: 0, y: 0, scale: 1 };
  const show = () => {
    const { width, height } = stage.getBoundingClientRect();
    svg.setAttribute("viewBox", [view.x, view.y, width / view.scale, height / view.scale].join(" "));
  };
  const zoom = (factor, x, y) => {
    const { left, top, width, height } = stage.getBoundingClientRect();
    const [px, py] = [x === undefined ? width / 2 : x - left, y === undefined ? height / 2 : y - top];
    const scale = Math.min(4, Math.max(0.02, view.scale * factor));
    view.x += px / view.scale - px / scale;
    view.y += py / view.scale - py / scale;
    view.scale = scale;
    show();
  };
  const fit = () => {
    const { width, height } = stage.getBoundingClientRect();
    const scale = Math.min(width / whole.width, (height - 56) / whole.height, 1.25);
    const root = cards.get(data.roots[0]);
    // What would be too small to make out is shown around its root instead.
    view.scale = scale < 0.5 && root ? 0.75 : Math.max(scale, 0.02);
    view.x = (whole.width - width / view.scale) / 2;
    view.y = (whole.height - (height - 56) / view.scale) / 2;
    if (root && view.scale > scale) {
      const seen = { width: width / view.scale, height: height / view.scale };
      const at = root.transform.baseVal[0].matrix;
      const near = (centre, part, all) => (part >= all ? (all - part) / 2 : Math.min(Math.max(centre - part / 2, 0), all - part));
      view.x = near(at.e + 150, seen.width, whole.width);
      view.y = near(at.f + 60, seen.height, whole.height);
    }
    show();
  };
  svg.setAttribute("preserveAspectRatio", "xMinYMin meet");
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX, event.clientY);
  }, { passive: false });
  let held = null;
  let moved = false;
  stage.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, y: event.clientY };
    moved = false;
  });
  window.addEventListener("pointermove", (event) => {
    if (!held || (!moved && Math.hypot(event.clientX - held.x, event.clientY - held.y) < 4)) return;
    moved = true;
    stage.classList.add("held");
    view.x -= (event.clientX - held.x) / view.scale;
    view.y -= (event.clientY - held.y) / view.scale;
    held = { x: event.clientX, y: event.clientY };
    show();
  });
  window.addEventListener("pointerup", () => {
    held = null;
    stage.classList.remove("held");
  });
  new ResizeObserver(show).observe(stage);
  document.getElementById("closer").onclick = () => zoom(1.3);
  document.getElementById("farther").onclick = () => zoom(1 / 1.3);
  document.getElementById("fit").onclick = fit;

  // ---- tracing: what leads to a card, and what comes of it

  const into = new Map();
  const outOf = new Map();
  const put = (map, key, way) => map.has(key) ? map.get(key).push(way) : map.set(key, [way]);
  for (const [edge, source, target] of data.edges) {
    put(outOf, source, [edge, target]);
    put(into, target, [edge, source]);
  }
  const reach = (start, ways, lit) => {
    const seen = new Set([start]);
    const waiting = [start];
    while (waiting.length) {
      for (const [edge, other] of ways.get(waiting.pop()) || []) {
        lit.add(wires.get(edge));
        if (!seen.has(other)) {
          seen.add(other);
          waiting.push(other);
        }
      }
    }
    for (const key of seen) lit.add(cards.get(key));
  };
  let lit = new Set();
  const trace = (key) => {
    for (const one of lit) if (one) one.classList.remove("lit");
    lit = new Set();
    svg.classList.toggle("traced", key !== null);
    if (key === null) return;
    reach(key, into, lit);
    reach(key, outOf, lit);
    for (const one of lit) if (one) one.classList.add("lit");
  };

  // ---- details: every text is set as text, never as markup

  const element = (name, text, className) => {
    const one = document.createElement(name);
    if (text !== undefined) one.textContent = text;
    if (className) one.className = className;
    return one;
  };
  // The panel takes room at the right: what was chosen stays in sight.
  const uncover = (card) => {
    show();
    const over = card.getBoundingClientRect().right + 24 - stage.getBoundingClientRect().right;
    if (over > 0) {
      view.x += over / view.scale;
      show();
    }
  };
  const choose = (key) => {
    for (const one of svg.querySelectorAll(".chosen")) one.classList.remove("chosen");
    panel.replaceChildren();
    panel.hidden = key === null;
    if (key === null) return;
    cards.get(key).classList.add("chosen");
    const node = nodes.get(key);
    const close = element("button", "×", "close");
    close.title = "Close (Esc)";
    close.onclick = () => choose(null);
    panel.append(close, element("div", node.kind, "kind"), element("h2", node.title));
    for (const [heading, rows] of node.sections) {
      if (heading) panel.append(element("h3", heading));
      const list = element("dl");
      for (const [name, text] of rows) list.append(element("dt", name), element("dd", text));
      panel.append(list);
    }
    uncover(cards.get(key));
  };
  for (const [key, card] of cards) {
    card.setAttribute("tabindex", "0");
    card.setAttribute("role", "button");
    card.addEventListener("pointerenter", () => trace(key));
    card.addEventListener("pointerleave", () => trace(null));
    card.addEventListener("focus", () => card.matches(":focus-visible") && trace(key));
    card.addEventListener("blur", () => trace(null));
    card.addEventListener("click", () => moved || choose(key));
    card.addEventListener("keydown", (event) => (event.key === "Enter" || event.key === " ") && choose(key));
  }
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape") choose(null);
    if (event.key === "+") zoom(1.3);
    if (event.key === "-") zoom(1 / 1.3);
    if (event.key === "0") fit();
  });
  fit();
}
