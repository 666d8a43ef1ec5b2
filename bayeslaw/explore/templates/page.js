// The page: sliders, figure, answers and link. All numbers come from the engine.
const POINTS = 121; // of a band
const SNAP = 6; // steps of a slider from a measured level within which it takes that level
const STEPS = 1000;
const SHARE_SLACK = 0.01; // distance from the measured shares that is not beyond them
const MOST_SHOWN = 6; // losses shown at first
const SHARE = "weight_"; // begins the name of a share of a mixture

const page = engine(CONTENT, LAWS);
const { columns, groups, sources, evals, points, limit, prob } = CONTENT;
const unit = CONTENT.unit.split(" per ")[0];
const byId = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
};
const sum = (values) => values.reduce((a, b) => a + b, 0);
const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;
// The share of the draws for which something holds, as a probability: all of them are not certainty.
function probability(holds) {
  const part = holds.filter(Boolean).length / holds.length;
  const least = Math.ceil(100 / holds.length);
  if (part === 0 || part === 1) return part ? `> ${100 - least} %` : `< ${least} %`;
  return `${maximum(1, minimum(99, Math.round(100 * part)))} %`;
}
const rounded = (value, digits = 3) => String(Number(value.toPrecision(digits)));
const said = (names) => names.join(", ").replace(/, ([^,]*)$/, " and $1");

function amount(value) {
  for (const [size, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]])
    if (abs(value) >= 0.9995 * size) return `${rounded(value / size)} ${letter}`;
  return rounded(value);
}

// Read 25M, 7 B, 3e9 or 0.3; NaN where it is no number.
function parsed(text) {
  const found = /^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([kmgbt]?)\s*$/i.exec(text);
  const units = { "": 1, k: 1e3, m: 1e6, g: 1e9, b: 1e9, t: 1e12 };
  return found ? Number(found[1]) * units[found[2].toLowerCase()] : NaN;
}

const shown = (column, value) => (column.counted ? amount(value) : rounded(value, 4));
const labelled = (label) => (label === "(unseen)" ? "a new one" : label);
const features = Object.keys(CONTENT.features).filter((name) => !groups.some((group) => group.name === name));

function initial() {
  const labels = groups.map((group) => {
    const column = columns.find((one) => one.name === group.name);
    return column ? maximum(column.levels.indexOf(column.start), 0) : 0;
  });
  const state = {
    values: Object.fromEntries(columns.map((one) => [one.name, one.start])),
    shares: sources.map((one) => one.start),
    labels,
    of: Object.fromEntries(features.map((name) => [name, Object.keys(CONTENT.features[name])[0]])),
    axis: CONTENT.axis === "weight" ? SHARE + sources[0].name : CONTENT.axis,
    mode: CONTENT.processes.length ? "misfit" : "law",
    limited: limit ? limit.evals[0] : 0,
    rule: "max_rise",
    size: 0,
    before: "",
    hidden: new Set(evals.map((_, e) => e).filter((e) => e >= MOST_SHOWN)),
  };
  const free = columns.filter((one) => one.group === null);
  if (columns.find((one) => one.name === state.axis)?.group != null) state.axis = free.length ? free[0].name : state.axis;
  return state;
}

let state = initial();

// ---- The state as a link

function written() {
  const fields = new URLSearchParams();
  for (const column of columns) fields.set(column.name, String(state.values[column.name]));
  sources.forEach((one, i) => fields.set(SHARE + one.name, String(Number(state.shares[i].toPrecision(12)))));
  groups.forEach((group, g) => {
    if (!columns.some((one) => one.name === group.name)) fields.set(group.name, group.labels[state.labels[g]]);
  });
  for (const [name, label] of Object.entries(state.of)) fields.set(name, label);
  fields.set("x", state.axis);
  fields.set("of", state.mode);
  if (limit) {
    fields.set("limit", `${state.rule}:${state.size}`);
    fields.set("limited", state.limited === "all" ? "all" : evals[state.limited].name);
    if (state.before) fields.set("baseline", state.before);
  }
  if (state.hidden.size) fields.set("hidden", [...state.hidden].join(","));
  return fields.toString();
}

// Take from a link what this page knows; the rest stays as it is.
function read(text) {
  const fields = new URLSearchParams(text);
  state = initial();
  for (const column of columns) {
    const value = fields.has(column.name) ? Number(fields.get(column.name)) : NaN;
    if (possible(column, value)) setColumn(column, value);
  }
  const shares = sources.map((one) => Number(fields.get(SHARE + one.name) ?? NaN));
  if (shares.length && shares.every((share) => share >= 0) && sum(shares) > 0)
    state.shares = shares.map((share) => share / sum(shares));
  groups.forEach((group, g) => {
    const place = group.labels.indexOf(fields.get(group.name));
    if (place >= 0 && !columns.some((one) => one.name === group.name)) state.labels[g] = place;
  });
  for (const name of features) if (fields.get(name) in CONTENT.features[name]) state.of[name] = fields.get(name);
  if (axes().some(([name]) => name === fields.get("x"))) state.axis = fields.get("x");
  if (modes().some(([name]) => name === fields.get("of"))) state.mode = fields.get("of");
  const [rule, size] = (fields.get("limit") ?? "").split(":");
  if (limit && rules().some(([name]) => name === rule) && Number.isFinite(Number(size)))
    Object.assign(state, { rule, size: Number(size) });
  const limited = evals.findIndex((one) => one.name === fields.get("limited"));
  if (limit && limit.evals.includes(limited)) state.limited = limited;
  else if (limit && limit.evals.length > 1 && fields.get("limited") === "all") state.limited = "all";
  if (parsed(fields.get("baseline") ?? "") > 0) state.before = fields.get("baseline");
  const hidden = (fields.get("hidden") ?? "").split(",").filter(Boolean).map(Number);
  if (fields.has("x")) state.hidden = new Set(hidden.filter((e) => e in evals));
}

// ---- What can be chosen

const axes = () => [
  ...columns.filter((one) => one.group === null).map((one) => [one.name, one.label]),
  ...sources.map((one) => [SHARE + one.name, `share of ${one.name}`]),
];
const modes = () =>
  CONTENT.processes.length
    ? [["misfit", "the law with its misfit"], ["law", "the law alone"], ["new", "a new run"]]
    : [["law", "the mean law"], ["new", "a new run"]];
const rules = () => [
  ["max_rise", "rise in percent"],
  ["max_increase", `rise in ${unit}`],
  ...(limit.bends ? [["turning-point", "turning point"]] : []),
];

const possible = (column, value) =>
  Number.isFinite(value) && value >= column.ends[0] && value <= column.ends[1] && (!column.log || value > 0);

function setColumn(column, value) {
  if (column.group !== null) {
    const nearest = column.levels.reduce((a, b, i) => (abs(b - value) < abs(column.levels[a] - value) ? i : a), 0);
    state.labels[column.group] = nearest;
    state.values[column.name] = column.levels[nearest];
  } else state.values[column.name] = value;
}

// The shares of a mixture with another share of one source: the others keep their proportions.
function mixed(shares, place, share) {
  const others = 1 - shares[place];
  return shares.map((own, i) =>
    i === place ? share : others > 1e-12 ? (own * (1 - share)) / others : (1 - share) / (shares.length - 1),
  );
}

// The columns as the laws take them, with another value along the axis.
function vector(along) {
  const own = state.axis.startsWith(SHARE) ? sources.findIndex((one) => SHARE + one.name === state.axis) : -1;
  const at = along !== undefined && own < 0 ? { ...state.values, [state.axis]: along } : state.values;
  const shares = along !== undefined && own >= 0 ? mixed(state.shares, own, along) : state.shares;
  return Float64Array.of(...columns.map((one) => at[one.name]), ...shares);
}

const axisColumn = () =>
  columns.find((one) => one.name === state.axis) ?? {
    ...{ name: state.axis, label: `share of ${state.axis.slice(SHARE.length)}`, low: 0, high: 1, log: false },
    measured: [minimum(...axisValues()), maximum(...axisValues())],
  };
const axisPlace = () => {
  const place = page.column(state.axis);
  return place >= 0 ? place : columns.length + sources.findIndex((one) => SHARE + one.name === state.axis);
};
const axisValues = () => points.x[axisPlace()];
const axisValue = () => vector()[axisPlace()];

// ---- Sliders

function toStep(column, value) {
  const [low, high, at] = column.log ? [log(column.low), log(column.high), log(value)] : [column.low, column.high, value];
  return Math.round((STEPS * (at - low)) / (high - low));
}

function fromStep(column, step) {
  const level = column.levels.find((one) => abs(toStep(column, one) - step) <= (STEPS > 50 ? SNAP : 0));
  if (level !== undefined) return level;
  const part = step / STEPS;
  const value = column.log
    ? exp(log(column.low) + part * (log(column.high) - log(column.low)))
    : column.low + part * (column.high - column.low);
  return Number(value.toPrecision(4));
}

// A slider with its number beside it; both call taken with a value.
function slider(name, label, marks, ends, taken, typed) {
  const range = make("input", { type: "range", id: `move-${name}`, ...ends });
  const text = make("input", { type: "text", id: `type-${name}`, inputMode: "decimal", spellcheck: false });
  text.setAttribute("aria-label", `${label}, as a number`);
  range.addEventListener("input", () => taken(Number(range.value), true));
  range.addEventListener("change", () => refresh());
  text.addEventListener("change", () => {
    const fine = typed(parsed(text.value));
    text.setAttribute("aria-invalid", String(!fine));
    if (fine) refresh();
  });
  const row = make("div", { className: "slider" }, make("label", { htmlFor: range.id }, label), text, range);
  if (marks.length) {
    const list = make("datalist", { id: `marks-${name}` }, ...marks.map((value) => make("option", { value })));
    range.setAttribute("list", list.id);
    row.append(list);
  }
  return {
    row,
    show(step, words) {
      if (document.activeElement !== range || Number(range.value) !== step) range.value = step;
      range.setAttribute("aria-valuetext", words);
      if (document.activeElement !== text || text.getAttribute("aria-invalid") !== "true") {
        text.value = words;
        text.removeAttribute("aria-invalid");
      }
    },
    range,
  };
}

const sliders = columns.map((column) => {
  const discrete = column.group !== null;
  const ends = discrete ? { min: 0, max: column.levels.length - 1, step: 1 } : { min: 0, max: STEPS, step: 1 };
  const marks = column.levels.map((value, i) => (discrete ? i : toStep(column, value)));
  const made = slider(
    column.name,
    column.label,
    marks,
    ends,
    (step) => {
      setColumn(column, discrete ? column.levels[step] : fromStep(column, step));
      dragged(made);
    },
    (value) => {
      if (!possible(column, value)) return false;
      setColumn(column, value);
      return true;
    },
  );
  byId("sliders").append(made.row);
  return made;
});

const shares = sources.map((source, i) => {
  const set = (share) => {
    state.shares = mixed(state.shares, i, share);
    return true;
  };
  const made = slider(
    SHARE + source.name,
    source.name,
    [],
    { min: 0, max: STEPS, step: 1 },
    (step) => {
      set(step / STEPS);
      dragged(made);
    },
    (share) => share >= 0 && share <= 1 && set(share),
  );
  byId("shares").append(made.row);
  return made;
});
byId("mixture").hidden = !sources.length;

function choice(id, label, options, taken) {
  const select = make("select", { id }, ...options.map(([value, text]) => make("option", { value }, text)));
  select.addEventListener("change", () => {
    taken(select.value);
    refresh();
  });
  return [make("div", { className: "field" }, make("label", { htmlFor: id }, label), select), select];
}

const chosen = groups.map((group, g) => {
  if (columns.some((one) => one.name === group.name)) return null;
  const options = group.labels.map((label, i) => [i, labelled(label)]);
  const [row, select] = choice(`label-${g}`, group.name, options, (value) => {
    state.labels[g] = Number(value);
    takeFeatures(group.name, group.labels[state.labels[g]]);
  });
  byId("groups").append(row);
  return select;
});
const described = features.map((name) => {
  const options = Object.keys(CONTENT.features[name]).map((label) => [label, label]);
  const [row, select] = choice(`of-${name}`, name, options, (label) => {
    state.of[name] = label;
    takeFeatures(name, label);
  });
  byId("groups").append(row);
  return select;
});

function takeFeatures(name, label) {
  for (const [column, value] of Object.entries(CONTENT.features[name]?.[label] ?? {})) state.values[column] = value;
}

// ---- The figure

const colours = () => {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { ink: of("--ink"), quiet: of("--quiet"), line: of("--line"), beyond: of("--beyond"), paper: of("--paper"),
    series: evals.map((_, e) => of(`--c${e % 6}`)) };
};
const faded = (hex) => `${hex}40`;
let plot = null;
let drawn = null; // study, x, bands and matched points of the figure
let range = null; // of the losses

function bands(study) {
  const column = axisColumn();
  const value = axisValue();
  const [low, high] = [minimum(column.low, value), maximum(column.high, value)];
  const at = (i) => low + ((high - low) * i) / (POINTS - 1);
  const ratio = log(high / low);
  const x = Array.from({ length: POINTS }, (_, i) => (i === POINTS - 1 ? high : column.log ? low * exp((ratio * i) / (POINTS - 1)) : at(i)));
  const vectors = x.map(vector);
  const found = evals.map((_, e) =>
    vectors.map((here) => {
      if (state.hidden.has(e)) return null;
      if (!study.inside(here, e)) return null;
      const losses = study.losses(here, e);
      return losses.every(Number.isFinite) ? summary(losses, prob) : null;
    }),
  );
  return { x, vectors, bands: found };
}

// Whether a run has all other columns and labels where the sliders are.
function matches(row, place) {
  const here = vector(axisValues()[row]);
  const near = (value, at, column) => {
    if (column?.log) return abs(log(value / at)) < 0.02;
    return abs(value - at) <= 0.01 * (column ? column.high - column.low : 2);
  };
  return (
    points.x.every((values, i) => i === place || near(values[row], here[i], columns[i])) &&
    groups.every((group, g) => page.column(group.name) >= 0 || points.labels[g][row] === group.labels[state.labels[g]]) &&
    features.every((name) => points.of[name][row] === state.of[name])
  );
}

function marked() {
  const place = axisPlace();
  const found = [];
  points.run.forEach((run, row) => {
    const full = matches(row, place);
    evals.forEach((_, e) => {
      const loss = points.losses[e][row];
      if (loss !== null && !state.hidden.has(e)) found.push({ run, row, e, x: axisValues()[row], loss, full });
    });
  });
  return found;
}

// The losses that the figure shows: all means and runs, and bands up to as much again on both sides.
function span({ bands: all, marks }) {
  const means = all.flat().filter(Boolean);
  const core = [...means.map((one) => one.mean), ...marks.filter((one) => one.full && points.used[one.e][one.row]).map((one) => one.loss)];
  if (!core.length) return [0, 1];
  const [low, high] = [core.reduce((a, b) => minimum(a, b)), core.reduce((a, b) => maximum(a, b))];
  const room = maximum(high - low, 0.002 * abs(high));
  const bottom = maximum(means.reduce((a, one) => minimum(a, one.lower), low), low - room);
  const top = minimum(means.reduce((a, one) => maximum(a, one.upper), high), high + room);
  return [bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom)];
}

// Draw within the figure, and so far over its edges.
const clipped = (u, over, draw) => {
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(u.bbox.left - over, u.bbox.top, u.bbox.width + 2 * over, u.bbox.height);
  u.ctx.clip();
  draw(u.ctx, devicePixelRatio);
  u.ctx.restore();
};

function shade(u) {
  const { beyond, quiet } = colours();
  const [low, high] = axisColumn().measured.map((value) => u.valToPos(value, "x", true));
  const { left, top, width, height } = u.bbox;
  clipped(u, 0, (ctx, scale) => {
    for (const [from, to] of [[left, low], [high, left + width]]) {
      if (to - from < 1) continue;
      ctx.fillStyle = beyond;
      ctx.fillRect(from, top, to - from, height);
      if (to - from < 110 * scale) continue;
      ctx.fillStyle = quiet;
      ctx.font = `${12 * scale}px system-ui, sans-serif`;
      ctx.textAlign = "center";
      ctx.fillText("beyond the runs", (from + to) / 2, top + 16 * scale);
    }
  });
}

function mark(u) {
  const { ink, paper, series } = colours();
  clipped(u, 6 * devicePixelRatio, (ctx, scale) => {
    const here = u.valToPos(axisValue(), "x", true);
    ctx.strokeStyle = ink;
    ctx.lineWidth = scale;
    ctx.setLineDash([5 * scale, 4 * scale]);
    ctx.beginPath();
    ctx.moveTo(here, u.bbox.top);
    ctx.lineTo(here, u.bbox.top + u.bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    for (const full of [false, true])
      for (const one of drawn.marks) {
        if (one.full !== full) continue;
        const [x, y, r] = [u.valToPos(one.x, "x", true), u.valToPos(one.loss, "y", true), (full ? 4 : 2.5) * scale];
        ctx.globalAlpha = full ? 1 : 0.25;
        ctx.beginPath();
        if (one.e % 2) ctx.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
        else ctx.arc(x, y, r, 0, 2 * Math.PI);
        ctx.fillStyle = points.used[one.e][one.row] ? series[one.e] : paper;
        ctx.fill();
        ctx.strokeStyle = full && points.used[one.e][one.row] ? paper : series[one.e];
        ctx.lineWidth = scale;
        ctx.stroke();
      }
    ctx.globalAlpha = 1;
  });
}

function height() {
  return window.innerWidth <= 832 ? minimum(300, maximum(220, 0.4 * window.innerHeight)) : 460;
}

function newPlot() {
  plot?.destroy();
  const { ink, quiet, line, series } = colours();
  const column = axisColumn();
  const axis = { stroke: quiet, font: "12px system-ui, sans-serif", labelFont: "13px system-ui, sans-serif",
    grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const label = (values) => values.map((value) => (value === null ? "" : column.counted ? amount(value) : rounded(value, 4)));
  const paths = { points: { show: false }, spanGaps: false };
  const lines = evals.flatMap((_, e) => [
    { ...paths, stroke: null, width: 0 },
    { ...paths, stroke: null, width: 0 },
    { ...paths, stroke: series[e], width: 2, dash: e >= 6 ? [8, 4] : undefined },
  ]);
  const options = {
    width: maximum(byId("plot").clientWidth, 200),
    height: height(),
    padding: [8, 14, 0, 0],
    legend: { show: false },
    pxAlign: 0,
    cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
    scales: { x: { time: false, distr: column.log ? 3 : 1, range: () => [drawn.x[0], drawn.x[POINTS - 1]] }, y: { range: () => range } },
    axes: [
      { ...axis, ...(column.log ? { splits: decades, filter: (_, values) => values } : {}), label: column.label, values: (_, values) => label(values), space: 60, size: 34, labelSize: 20 },
      { ...axis, label: `loss (${CONTENT.unit})`, values: (_, values) => values.map((value) => rounded(value, 6)), size: 58, labelSize: 20 },
    ],
    series: [{}, ...lines],
    bands: evals.map((_, e) => ({ series: [3 * e + 2, 3 * e + 1], fill: faded(series[e]) })),
    hooks: { drawClear: [shade], draw: [mark], setCursor: [hover] },
  };
  plot = new uPlot(options, data(), byId("plot"));
  plot.over.addEventListener("click", () => nearest(plot.cursor.left, plot.cursor.top).forEach(goTo));
  plot.over.addEventListener("mouseleave", () => tell(null));
}

// Where a logarithmic axis has its numbers: at every decade, and between them where decades are few.
function decades(u, axis, low, high) {
  const [first, last] = [Math.floor(log10(low)), Math.ceil(log10(high))];
  const far = log10(high / low);
  const within = far > 3 ? [1] : far > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const powers = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  return powers.flatMap((power) => within.map((n) => Number(`${n}e${power}`))).filter((x) => x >= low * 0.999 && x <= high * 1.001);
}

const data = () => [
  drawn.x,
  ...drawn.bands.flatMap((own) => ["lower", "upper", "mean"].map((key) => own.map((one) => (one ? one[key] : null)))),
];

// ---- What is told of a run, or of the bands at the pointer

function nearest(left, top) {
  let best = null;
  for (const one of drawn.marks) {
    const far = Math.hypot(plot.valToPos(one.x, "x") - left, plot.valToPos(one.loss, "y") - top) + (one.full ? 0 : 6);
    if (far < 14 && (!best || far < best.far)) best = { ...one, far };
  }
  return best ? [best] : [];
}

function aboutRun({ run, row, e, loss, full }) {
  const at = columns.map((column, i) => `${column.name.replace("_", " ")} ${shown(column, points.x[i][row])}`);
  sources.forEach((one, i) => at.push(`${one.name} ${rounded(points.x[columns.length + i][row])}`));
  groups.forEach((group, g) => page.column(group.name) < 0 && at.push(`${group.name} ${points.labels[g][row]}`));
  const notes = [full ? "" : "at other values than the sliders", points.used[e][row] ? "" : "not used by the fit"];
  return [`${run}: ${evals[e].name} loss ${rounded(loss, 4)}`, at.join(", "), ...notes.filter(Boolean)].join("\n");
}

function aboutBands(i) {
  const column = axisColumn();
  const here = evals.flatMap((one, e) => {
    const own = drawn.bands[e][i];
    return own ? [`${one.name} ${rounded(own.mean, 4)} (${rounded(own.lower, 4)} to ${rounded(own.upper, 4)})`] : [];
  });
  return here.length ? [`${column.label} ${shown(column, drawn.x[i])}`, ...here].join("\n") : null;
}

function tell(text, left, top) {
  const told = byId("told");
  told.hidden = text === null;
  if (text === null) return;
  told.textContent = text;
  const { offsetLeft, offsetTop, clientWidth } = plot.over;
  told.style.left = `${maximum(0, minimum(left + offsetLeft + 14, offsetLeft + clientWidth - told.offsetWidth))}px`;
  told.style.top = `${maximum(0, top + offsetTop - told.offsetHeight - 12)}px`;
}

function hover(u) {
  const { left, top, idx } = u.cursor;
  if (left < 0 || idx === null || idx === undefined) return;
  const [run] = nearest(left, top);
  if (run) tell(aboutRun(run), u.valToPos(run.x, "x"), u.valToPos(run.loss, "y"));
  else tell(aboutBands(idx), left, top);
}

// Put the sliders where a run is.
function goTo({ row }) {
  columns.forEach((column, i) => setColumn(column, points.x[i][row]));
  state.shares = sources.map((_, i) => points.x[columns.length + i][row]);
  groups.forEach((group, g) => {
    const place = group.labels.indexOf(points.labels[g][row]);
    if (page.column(group.name) < 0 && place >= 0) state.labels[g] = place;
  });
  for (const name of features) state.of[name] = points.of[name][row];
  refresh();
}

let reached = -1;
byId("plot").addEventListener("keydown", (event) => {
  const full = drawn.marks.filter((one) => one.full).sort((a, b) => a.x - b.x || a.e - b.e);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (event.key === "Escape") tell(null);
  if (event.key === "Enter" && full[reached]) goTo(full[reached]);
  if (!step || !full.length) return;
  event.preventDefault();
  reached = (reached + step + full.length + (reached < 0 && step < 0 ? 1 : 0)) % full.length;
  const one = full[reached];
  tell(aboutRun(one), plot.valToPos(one.x, "x"), plot.valToPos(one.loss, "y"));
});
byId("plot").addEventListener("blur", () => tell(null));

// ---- Answers

function showHere(study) {
  const here = vector();
  const rows = evals.flatMap((one, e) => {
    if (state.hidden.has(e)) return [];
    const losses = study.inside(here, e) ? study.losses(here, e) : null;
    const own = losses && losses.every(Number.isFinite) ? summary(losses, prob) : null;
    const cells = own ? [rounded(own.mean, 4), `${rounded(own.lower, 4)} to ${rounded(own.upper, 4)}`] : ["–", "outside the law's range"];
    return [make("tr", {}, make("th", { scope: "row" }, one.name), ...cells.map((text) => make("td", {}, text)))];
  });
  byId("here").replaceChildren(...rows);
}

function showBeyond() {
  const far = columns.flatMap((column, i) => {
    const value = state.values[column.name];
    const [low, high] = column.measured;
    const bounded = column.name === "domain_share" || low <= 0;
    const slack = bounded ? SHARE_SLACK * (high - low || 1) : 0;
    const factor = bounded ? 1 : column.verified * (1 + 1e-6);
    const above = value > high * factor + slack;
    const below = !column.upward && value < low / factor - slack;
    sliders[i].row.classList.toggle("beyond", above || below);
    const edge = above ? high : low;
    const times = bounded ? "" : `${rounded(above ? value / high : low / value, 2)} times `;
    return above || below
      ? [`${column.label} ${shown(column, value)} lies ${times}beyond the ${above ? "largest" : "smallest"} of the runs (${shown(column, edge)})`]
      : [];
  });
  byId("beyond").textContent = far.length ? `${said(far)}: nothing was measured there, and on public tables intervals were too narrow beyond the runs.` : "";
}

// How much of the tokens of a mixture differs from the nearest mixture of the runs.
function showMixture() {
  const far = points.run.map((_, row) => sum(state.shares.map((own, i) => abs(own - points.x[columns.length + i][row]))) / 2);
  byId("near").textContent = `In the nearest mixture of the runs, ${percent(far.reduce((a, b) => minimum(a, b)))} of the tokens differ.`;
}

function baseline(e) {
  const typed = parsed(state.before);
  if (state.limited !== "all" && typed > 0) return { loss: () => typed, mean: typed };
  const holds = (name, value) => {
    const g = groups.findIndex((group) => group.name === name);
    const own = page.column(name) >= 0 ? state.values[name] : g >= 0 ? groups[g].labels[state.labels[g]] : state.of[name];
    return typeof value === "number" ? abs(Number(own) / value - 1) < 1e-6 : own === value;
  };
  const found = limit.baselines.find((one) => one.eval === e && Object.entries(one.at).every(([k, v]) => holds(k, v)));
  return found ? { loss: baselineOf(found), mean: found.mean } : null;
}

function showLimit(study) {
  if (!limit) return;
  const turning = state.rule === "turning-point";
  const sets = state.limited === "all" ? limit.evals : [state.limited];
  byId("size-field").hidden = byId("before-field").hidden = turning;
  if (sets.length > 1) byId("before-field").hidden = true;
  const before = sets.map(baseline);
  byId("before").placeholder = before[0] ? `${rounded(before[0].mean, 4)}, measured` : `type it (${unit})`;
  const say = (ratio, safe = "", ends = "") => {
    byId("ratio").textContent = ratio;
    byId("safe").textContent = safe;
    byId("ends").textContent = ends;
  };
  if (!turning && before.includes(null)) {
    const missing = "No run at D = 0 has these sizes and labels: type the loss before training.";
    return say("–", sets.length > 1 ? "No run at D = 0 has these sizes and labels: choose one loss and type it." : missing);
  }
  const ratios = sets.map((e, i) =>
    study.criticalRatio(vector(), { eval: e, rule: state.rule, size: state.size, baseline: before[i]?.loss }),
  );
  if (ratios.includes(null)) return say("–", "These values lie outside the law's range.");
  const low = maximum(...ratios.map((one) => one.low));
  const high = minimum(...ratios.map((one) => one.high));
  const all = ratios[0].draws.map((_, d) => minimum(...ratios.map((one) => one.draws[d])));
  const own = summary(all, prob);
  const end = (value) => (value >= high ? `≥ ${rounded(high)}` : value <= low ? `≤ ${rounded(low)}` : rounded(value));
  const part = (holds) => probability(Array.from(all, holds));
  const share = state.values.domain_share;
  const safe = share >= low && share <= high
    ? `P(${rounded(share)} is safe): ${part((r) => r >= share && r > low)}`
    : `The share ${rounded(share)} lies outside the law's range, ${rounded(low)} to ${rounded(high)}.`;
  say(
    `${end(own.median)} (${end(own.lower)} to ${end(own.upper)})`,
    safe,
    `Median and ${percent(prob)} interval. P(no share is safe): ${part((r) => r <= low)}; P(every share is): ${part((r) => r >= high)}.`,
  );
}

// ---- Everything anew

let dragging = false;
let waiting = false;

function dragged(made) {
  dragging = true;
  schedule();
}

function schedule() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    update();
  });
}

// After a drag the figure takes the range of losses that fits; while dragging it only grows.
function refresh() {
  dragging = false;
  schedule();
}

let plotted = "";

function update() {
  const study = page.study(state.labels, state.mode);
  drawn = { ...bands(study), marks: marked() };
  const fitting = span(drawn);
  range = dragging && range ? [minimum(range[0], fitting[0]), maximum(range[1], fitting[1])] : fitting;
  if (plotted !== state.axis) newPlot();
  else plot.setData(data());
  plotted = state.axis;
  reached = -1;
  tell(null);
  columns.forEach((column, i) => {
    const value = state.values[column.name];
    const step = column.group !== null ? state.labels[column.group] : toStep(column, value);
    if (!(dragging && document.activeElement === sliders[i].range)) sliders[i].show(step, shown(column, value));
    else sliders[i].show(Number(sliders[i].range.value), shown(column, value));
  });
  shares.forEach((one, i) => one.show(Math.round(STEPS * state.shares[i]), rounded(state.shares[i])));
  chosen.forEach((select, g) => select && (select.value = state.labels[g]));
  described.forEach((select, i) => (select.value = state.of[features[i]]));
  byId("axis").value = state.axis;
  document.querySelectorAll("input[name=mode]").forEach((one) => (one.checked = one.value === state.mode));
  document.querySelectorAll("input[name=shown]").forEach((one) => (one.checked = !state.hidden.has(Number(one.value))));
  if (limit) {
    byId("limited").value = state.limited;
    byId("rule").value = state.rule;
    const size = state.rule === "max_rise" ? 100 * state.size : state.size;
    if (document.activeElement !== byId("size")) byId("size").value = rounded(size, 6);
    document.querySelector("label[for=size]").textContent = `Rise of at most (${state.rule === "max_rise" ? "%" : unit})`;
    if (document.activeElement !== byId("before")) byId("before").value = state.before;
  }
  showHere(study);
  showBeyond();
  if (sources.length) showMixture();
  showLimit(study);
  const names = evals.filter((_, e) => !state.hidden.has(e)).map((one) => `${one.name} loss`);
  byId("plot").setAttribute(
    "aria-label",
    `${said(names) || "No loss"} along ${axisColumn().label}, with ${percent(prob)} bands and the measured runs; arrow keys step from run to run`,
  );
  try {
    history.replaceState(null, "", `#${written()}`);
  } catch {
    // a page without an address keeps its state to itself
  }
}

// What the figure shows, with the columns of `bayeslaw predict`; measured runs have their loss in place of a band.
function table() {
  const names = [...columns.map((one) => one.name), ...sources.map((one) => SHARE + one.name)];
  const labels = groups.filter((group) => page.column(group.name) < 0);
  const chosenLabels = labels.map((group) => group.labels[state.labels[groups.indexOf(group)]]);
  const what = modes().find(([name]) => name === state.mode)[1];
  const cell = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  const rows = [[...names, ...labels.map((one) => one.name), "eval", "of", "mean", "sd", "lower", "upper", "measured", "run"]];
  evals.forEach((one, e) => {
    drawn.vectors.forEach((here, i) => {
      const own = drawn.bands[e][i];
      if (own) rows.push([...here, ...chosenLabels, one.name, what, own.mean, own.sd, own.lower, own.upper, "", ""]);
    });
  });
  for (const one of drawn.marks.filter((mark) => mark.full))
    rows.push([...points.x.map((values) => values[one.row]), ...chosenLabels, evals[one.e].name, "", "", "", "", "", one.loss, one.run]);
  return rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function start() {
  const used = points.total > points.run.length ? `; ${points.run.length} of ${points.total} rows are shown` : "";
  byId("about").textContent = `${CONTENT.draws} draws of the ${CONTENT.of}, computed in this page. Line: mean; band: ${percent(prob)} interval; points: measured runs${used}, pale where other values than those of the sliders were set.`;
  byId("cautions").textContent = CONTENT.cautions.map((text) => `Caution: ${text}.`).join(" ");
  byId("prob").textContent = `${percent(prob)} interval`;
  byId("unit").textContent = `In ${CONTENT.unit}.`;
  byId("axis").append(...axes().map(([value, text]) => make("option", { value }, text)));
  byId("axis").addEventListener("change", (event) => {
    state.axis = event.target.value;
    refresh();
  });
  byId("losses").append(
    ...evals.map((one, e) => {
      const box = make("input", { type: "checkbox", name: "shown", value: e });
      box.addEventListener("change", () => {
        state.hidden[box.checked ? "delete" : "add"](e);
        refresh();
      });
      const key = make("span", { className: "key" });
      key.style.background = `var(--c${e % 6})`;
      return make("label", {}, box, key, one.name);
    }),
  );
  byId("modes").append(
    ...modes().map(([value, text]) => {
      const button = make("input", { type: "radio", name: "mode", value });
      button.addEventListener("change", () => {
        state.mode = value;
        refresh();
      });
      return make("label", {}, button, text);
    }),
  );
  if (limit) startLimit();
  byId("download").addEventListener("click", () => {
    const url = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    make("a", { href: url, download: "losses.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
    byId("done").textContent = "Written to losses.csv.";
  });
  byId("link").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      byId("done").textContent = "The link is in the clipboard; it opens this page as it is now.";
    } catch {
      byId("done").textContent = "Copy the address of this page: it keeps what is set here.";
    }
  });
  byId("reset").addEventListener("click", () => {
    state = initial();
    refresh();
  });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", () => {
    read(location.hash.slice(1));
    refresh();
  });
  new ResizeObserver(() => plot?.setSize({ width: maximum(byId("plot").clientWidth, 200), height: height() })).observe(byId("figure"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", newPlot);
  read(location.hash.slice(1));
  update();
}

function startLimit() {
  byId("limit").hidden = false;
  const named = limit.evals.map((e) => [e, `${evals[e].name} loss`]);
  const all = named.length > 1 ? [["all", "all of them"]] : [];
  byId("limited").append(...[...named, ...all].map(([value, text]) => make("option", { value }, text)));
  byId("limited-field").hidden = named.length === 1;
  byId("limited").addEventListener("change", (event) => {
    Object.assign(state, { limited: event.target.value === "all" ? "all" : Number(event.target.value), before: "" });
    refresh();
  });
  byId("rule").append(...rules().map(([value, text]) => make("option", { value }, text)));
  byId("rule").addEventListener("change", (event) => {
    Object.assign(state, { rule: event.target.value, size: 0 });
    refresh();
  });
  const typed = (id, take) =>
    byId(id).addEventListener("input", (event) => {
      const fine = take(event.target.value);
      event.target.setAttribute("aria-invalid", String(!fine));
      if (fine) schedule();
    });
  typed("size", (text) => {
    const size = parsed(text) / (state.rule === "max_rise" ? 100 : 1);
    if (!(Number.isFinite(size) && (state.rule === "max_increase" || abs(size) < 1))) return false;
    state.size = size;
    return true;
  });
  typed("before", (text) => {
    if (text.trim() !== "" && !(parsed(text) > 0)) return false;
    state.before = text.trim();
    return true;
  });
}

start();
