// What a reader moves and chooses.

function toStep(column, value) {
  const [low, high, at] = column.log ? [log(column.low), log(column.high), log(value)] : [column.low, column.high, value];
  return Math.round((STEPS * (at - low)) / (high - low));
}

function fromStep(column, step) {
  const level = column.levels.find((one) => abs(toStep(column, one) - step) <= SNAP);
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
      range.value = step;
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
      dragged();
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
      dragged();
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
