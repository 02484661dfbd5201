"use strict";
const $ = id => document.getElementById(id), all = (query, root = document) => [...root.querySelectorAll(query)];
const { runs, fps, references } = JSON.parse($("data").textContent);
const byId = new Map(runs.map(run => [run.id, run]));
const COLOURS = 8, WIDTH = 340, HEIGHT = 170, LEFT = 52, RIGHT = 8, TOP = 8, FLOOR = HEIGHT - 22;
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];
const short = value => value && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5) ? value.toExponential(1) : String(+value.toPrecision(3));
const text = value => String(value).replace(/[&<>"]/g, sign => `&#${sign.charCodeAt(0)};`);

// Curves: one line a run, or one a group of seeds with the range of its members.

function lines(stage, chosen, grouped) {
  const key = run => grouped ? run.group : run.label, members = runs.filter(run => run.stage === stage);
  const names = [...new Set(members.filter(run => Object.keys(run.curves).length).map(key))];
  return names.map((name, index) => {
    const own = members.filter(run => key(run) === name && chosen.has(run.id));
    const style = `class="curve c${index % COLOURS}" stroke-dasharray="${DASHES[Math.floor(index / COLOURS) % DASHES.length]}"`;
    return { name: own.length > 1 ? `${name} (${own.length})` : name, index, style, own };
  }).filter(line => line.own.length);
}

function valueAt(curve, step) {
  const after = curve.findIndex(point => point[0] >= step);
  if (after < 0 || (after === 0 && curve[0][0] > step)) return null;
  const [x1, y1] = curve[after];
  if (x1 === step) return y1;
  const [x0, y0] = curve[after - 1];
  return y0 + (y1 - y0) * (step - x0) / (x1 - x0);
}

function joined(curves) {
  const steps = [...new Set(curves.flatMap(curve => curve.map(point => point[0])))].sort((a, b) => a - b);
  return steps.map(step => {
    const values = curves.map(curve => valueAt(curve, step)).filter(value => value !== null);
    return { step, mean: values.reduce((sum, value) => sum + value, 0) / values.length, low: Math.min(...values), high: Math.max(...values) };
  });
}

function chart(scalar, drawn, reference) {
  const curves = drawn.map(line => ({ ...line, points: joined(line.own.map(run => run.curves[scalar]).filter(Boolean)) })).filter(line => line.points.length);
  if (!curves.length) return null;
  const known = (reference?.curves[scalar] ?? []).map(([step, value]) => ({ step, mean: value, low: value, high: value }));
  const points = [...curves.flatMap(line => line.points), ...known], over = (pick, values) => values.reduce((best, value) => pick(best, value));
  const x0 = over(Math.min, points.map(point => point.step)), x1 = over(Math.max, points.map(point => point.step));
  const y0 = over(Math.min, points.map(point => point.low)), y1 = over(Math.max, points.map(point => point.high));
  const x = step => (LEFT + (step - x0) / ((x1 - x0) || 1) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = value => (TOP + (y1 - value) / ((y1 - y0) || 1) * (FLOOR - TOP)).toFixed(1);
  const band = line => line.own.length < 2 ? "" : `<polygon class="band c${line.index % COLOURS}" points="${[...line.points.map(p => `${x(p.step)},${y(p.high)}`), ...line.points.map(p => `${x(p.step)},${y(p.low)}`).reverse()].join(" ")}"/>`;
  const line = one => one.points.length === 1
    ? `<circle class="c${one.index % COLOURS}" r="2.5" cx="${x(one.points[0].step)}" cy="${y(one.points[0].mean)}"/>`
    : `<polyline ${one.style} points="${one.points.map(p => `${x(p.step)},${y(p.mean)}`).join(" ")}"><title>${text(one.name)}</title></polyline>`;
  const figure = document.createElement("figure");
  figure.className = "chart"; figure.tabIndex = 0;
  figure.setAttribute("aria-label", `${scalar} over steps; arrow keys read values`);
  figure.innerHTML = `<figcaption>${text(scalar)}</figcaption><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" aria-hidden="true"><path class="axis" d="M${LEFT},${TOP}V${FLOOR}H${WIDTH - RIGHT}"/>`
    + `<text x="${LEFT - 4}" y="${TOP + 8}" class="end">${short(y1)}</text><text x="${LEFT - 4}" y="${FLOOR}" class="end">${y1 > y0 ? short(y0) : ""}</text>`
    + `<text x="${LEFT}" y="${HEIGHT - 6}">${x1 > x0 ? x0 : ""}</text><text x="${WIDTH - RIGHT}" y="${HEIGHT - 6}" class="end">step ${x1}</text>`
    + `${known.length ? `<polyline class="reference" points="${known.map(p => `${x(p.step)},${y(p.mean)}`).join(" ")}"><title>${text(reference.name)}</title></polyline>` : ""}${curves.map(band).join("")}${curves.map(line).join("")}<path class="cursor"/></svg><output class="readout"></output>`;
  readable(figure, curves, x);
  return figure;
}

function readable(figure, curves, x) {
  const steps = [...new Set(curves.flatMap(line => line.points.map(point => point.step)))].sort((a, b) => a - b);
  let at = -1;
  const show = index => {
    at = Math.max(0, Math.min(steps.length - 1, index));
    figure.querySelector(".cursor").setAttribute("d", `M${x(steps[at])},${TOP}V${FLOOR}`);
    const near = line => line.points.reduce((best, point) => Math.abs(point.step - steps[at]) < Math.abs(best.step - steps[at]) ? point : best);
    const told = curves.map(line => [line, near(line)]).map(([line, point]) => `${line.name} ${short(point.mean)}` + (line.own.length > 1 ? ` [${short(point.low)}, ${short(point.high)}]` : ""));
    figure.querySelector(".readout").textContent = `step ${steps[at]}: ${told.join("; ")}`;
  };
  figure.addEventListener("pointermove", event => {
    const box = figure.querySelector("svg").getBoundingClientRect(), place = (event.clientX - box.left) / box.width * WIDTH;
    show(steps.reduce((best, step, index) => Math.abs(x(step) - place) < Math.abs(x(steps[best]) - place) ? index : best, 0));
  });
  figure.addEventListener("keydown", event => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); show(to); }
  });
}

const narrow = matchMedia("(max-width: 34rem)").matches, closed = new Map();

function drawCurves(chosen) {
  const grouped = $("grouped").checked, place = $("charts");
  place.replaceChildren();
  for (const stage of new Set(runs.map(run => run.stage))) {
    const drawn = lines(stage, chosen, grouped);
    const scalars = [...new Set(drawn.flatMap(line => line.own.flatMap(run => Object.keys(run.curves))))].sort();
    const reference = $("reference").checked ? references[stage] : undefined;
    const charts = scalars.map(scalar => chart(scalar, drawn, reference)).filter(Boolean);
    if (!charts.length) continue;
    const part = document.createElement("details"), head = document.createElement("summary"), legend = document.createElement("p"), grid = document.createElement("div");
    part.open = !(closed.get(stage) ?? (narrow && place.children.length));
    part.addEventListener("toggle", () => closed.set(stage, !part.open));
    head.textContent = `${stage} (${charts.length})`;
    legend.innerHTML = drawn.map(line => `<span class="key"><svg width="26" height="8" aria-hidden="true"><path ${line.style} d="M0,4H26"/></svg>${text(line.name)}</span>`).join("")
      + (reference ? `<span class="key"><svg width="26" height="8" aria-hidden="true"><path class="reference" d="M0,4H26"/></svg>${text(reference.name)}</span>` : "");
    grid.className = "grid"; grid.append(...charts);
    part.append(head, legend, grid);
    place.append(part);
  }
  if (!place.children.length) place.textContent = "No curves of the selected runs.";
}

function select() {
  const off = all(".filter:not(:checked)").map(box => [box.dataset.kind, box.value]);
  for (const row of all("tr.run")) row.hidden = off.some(([kind, value]) => row.dataset[kind] === value);
  const chosen = new Set(all("tr.run:not([hidden]) .pick:checked").map(box => box.value));
  for (const gallery of all("#samples [data-run]")) gallery.hidden = !chosen.has(gallery.dataset.run);
  drawCurves(chosen);
}

function tick(value) { for (const box of all("tr.run:not([hidden]) .pick")) box.checked = value; select(); }
$("runs").addEventListener("change", select);
$("all").addEventListener("click", () => tick(true));
$("none").addEventListener("click", () => tick(false));
select();
