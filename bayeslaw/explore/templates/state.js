// What the page shows, as a state that a link keeps. All numbers come from the engine.
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
